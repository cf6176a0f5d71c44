"""Synthetic people of the Hanoi pilot. Nobody here exists: the family name Mẫu means "sample".

Counts per ward and month are those of the programme's data sheet; what it leaves open (substances, scores, refusals) is
assumed and drawn with a fixed seed. This is the demo's data, not the engine: it may name the Hanoi forms' fields.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

#: People per ward of the pilot, 170 in all.
WARDS = {
    "LB-BODE": 28,
    "LB-NGOCTHUY": 26,
    "LB-NGOCLAM": 24,
    "NTL-CAUDIEN": 34,
    "NTL-MYDINH1": 31,
    "NTL-XUANPHUONG": 27,
}
#: People taken in from April to December 2019.
INTAKE = (4, 22, 26, 25, 24, 23, 22, 19, 5)
#: The pilot's last day; the demo moves it to yesterday.
LAST_DAY = dt.date(2019, 12, 10)
#: The demo shows the people of November and December, 19 + 5.
RECENT = INTAKE[-2] + INTAKE[-1]
#: Share whose main substance is an opioid, by district; the others use amphetamines. Assumed.
OPIOID_SHARE = {"LB": 0.45, "NTL": 0.96}

_MIDDLE = {"male": ("Văn", "Đức", "Quang"), "female": ("Thị", "Thu", "Ngọc")}
_GIVEN = {
    "male": ("An", "Bình", "Cường", "Dũng", "Hải", "Hùng", "Khánh", "Long", "Minh", "Nam", "Sơn", "Tuấn"),
    "female": ("Hạnh", "Hoa", "Lan", "Linh", "Mai", "Thảo", "Trang", "Vân"),
}
_SHARED = (
    "mmt",
    "ats_treatment",
    "harm_reduction",
    "mental_health",
    "emergency",
    "emergency_mh",
    "alcohol_specialist",
    "rehab_voluntary",
    "hiv_test",
    "vocational_job",
)
_SUBSTANCES = (
    "tobacco",
    "alcohol",
    "cannabis",
    "cocaine",
    "ats",
    "inhalants",
    "sedatives",
    "hallucinogens",
    "opioids",
    "other",
)


@dataclass(frozen=True, slots=True)
class Filled:
    """A form as somebody filled it in: by which user, when it ended and when it reached the server (both UTC-aware).

    `answers` maps a field's name to a JSON value, as `ketnoi evaluate --answers` takes it.
    """

    form: str
    sender: str
    ended_at: dt.datetime
    received_at: dt.datetime
    answers: Mapping[str, object]


def recent_people(
    *, last_day: dt.date, zone: dt.tzinfo, workers: Mapping[str, Sequence[str]], seed: int = 20191210
) -> list[Filled]:
    """Contact and screening of the pilot's last 24 people, in order of receipt, ending on `last_day`.

    `workers` names the user names of each district's social workers (`LB`, `NTL`).
    """
    draw = random.Random(seed)  # noqa: S311 - synthetic people want repeatability, not secrecy
    wards = _wards(draw)
    moved = last_day - LAST_DAY
    filled: list[Filled] = []
    numbers = {"LB": 67, "NTL": 79}
    for index, day in enumerate(_days(draw)):
        ward = wards[index]
        district = ward.partition("-")[0]
        numbers[district] += 1
        person = _Person(draw, index, ward, f"KH-{district}-{numbers[district]:04}")
        filled.extend(person.forms(day + moved, zone, draw.choice(workers[district])))
    return sorted(filled, key=lambda item: item.received_at)


def _wards(draw: random.Random) -> list[str]:
    """Wards of the last 24 people, in the pilot's proportions: 11 from Long Biên, 13 from Nam Từ Liêm."""
    quota = {"LB": 11, "NTL": 13}
    found = []
    for district, count in quota.items():
        names = [ward for ward in WARDS if ward.startswith(district)]
        found += draw.choices(names, weights=[WARDS[name] for name in names], k=count)
    draw.shuffle(found)
    return found


def _days(draw: random.Random) -> list[dt.date]:
    """Intake days: 19 working days of November 2019, five from 1 to 10 December, the last of them the last day."""
    november = [dt.date(2019, 11, 1) + dt.timedelta(n) for n in range(30)]
    december = [dt.date(2019, 12, 1) + dt.timedelta(n) for n in range(9)]
    return sorted([*draw.choices(november, k=INTAKE[-2]), *draw.choices(december, k=INTAKE[-1] - 1), LAST_DAY])


class _Person:
    """One person's answers, drawn once."""

    def __init__(self, draw: random.Random, index: int, ward: str, code: str) -> None:
        self.draw, self.index, self.ward, self.code = draw, index, ward, code
        self.sex = "female" if draw.random() < 0.18 else "male"
        self.main = "opioids" if draw.random() < OPIOID_SHARE[ward.partition("-")[0]] else "ats"
        self.given = draw.choice(_GIVEN[self.sex])

    def forms(self, day: dt.date, zone: dt.tzinfo, worker: str) -> Iterator[Filled]:
        start = dt.datetime.combine(day, dt.time(8, 30), zone) + dt.timedelta(minutes=self.draw.randrange(0, 420))
        reached = start + dt.timedelta(minutes=14)
        yield Filled("contact", worker, reached, reached + dt.timedelta(minutes=3), self._contact(day))
        ended = start + dt.timedelta(minutes=48)
        # One upload in twenty is late: no signal until the next day or the one after.
        late = dt.timedelta(hours=31) if self.index == RECENT // 2 else dt.timedelta(minutes=self.draw.randrange(1, 40))
        yield Filled("screening", worker, ended, ended + late, self._screening(day))

    def _contact(self, day: dt.date) -> dict[str, object]:
        return {
            "visit_date": day.isoformat(),
            "area": self.ward,
            "client_code": self.code,
            "contact_type": "individual",
            "contact_result": "reached",
        }

    def _screening(self, day: dt.date) -> dict[str, object]:
        return {
            "visit_date": day.isoformat(),
            "area": self.ward,
            "client_code": self.code,
            "consent_take_part": "yes",
            "consent_share": self._shared(),
            **self._identity(day),
            **self._assist(),
            **self._mood(),
            **self._goal(),
        }

    def _shared(self) -> list[str]:
        # 6 % share nothing: one or two of 24.
        if self.index in (5, 17):
            return []
        return [code for code in _SHARED if self.draw.random() < 0.93]

    def _identity(self, day: dt.date) -> dict[str, object]:
        born = day.replace(day=1) - dt.timedelta(days=365 * self.draw.randrange(21, 52))
        return {
            "full_name": f"Mẫu {self.draw.choice(_MIDDLE[self.sex])} {self.given}",
            "nickname": self.given,
            "phone": f"09000001{self.index:02}",
            "sex": self.sex,
            "birth_date": born.isoformat(),
        }

    def _assist(self) -> dict[str, object]:
        used = {self.main, "tobacco"} | {name for name in ("alcohol", "cannabis") if self.draw.random() < 0.5}
        found: dict[str, object] = {f"assist_{name}_q1": "yes" if name in used else "no" for name in _SUBSTANCES}
        for name in _SUBSTANCES:
            if name in used:
                found |= self._items(name, heavy=name == self.main and self.draw.random() < 0.6)
        # 3 % leave an item out: no score, but the alerts stand.
        if self.index == 11:
            found.pop(f"assist_{self.main}_q4", None)
        return found | self._injecting()

    def _items(self, name: str, *, heavy: bool) -> dict[str, object]:
        pick = self.draw.choice
        codes = {
            "q2": pick((4, 6) if heavy else (2, 2, 3)),
            "q3": pick((5, 6) if heavy else (0, 3)),
            "q4": pick((6, 7) if heavy else (0, 0, 4)),
            "q5": pick((6, 7, 8) if heavy else (0, 0, 5)),
            "q6": pick((3, 6) if heavy else (0, 3)),
            "q7": pick((3, 6) if heavy else (0, 3)),
        }
        if name == "tobacco":
            del codes["q5"]
        return {f"assist_{name}_{item}": str(code) for item, code in codes.items()}

    def _injecting(self) -> dict[str, object]:
        if self.main != "opioids" or self.draw.random() < 0.35:
            return {"assist_q8": self.draw.choice(("never", "before"))}
        return {"assist_q8": "past3m", "inject_days_per_month": self.draw.choice((2, 4, 8, 20))}

    def _mood(self) -> dict[str, object]:
        low = self.draw.random()
        weights = (5, 3, 1, 0) if low < 0.6 else (2, 4, 3, 1) if low < 0.9 else (0, 1, 4, 4)
        found: dict[str, object] = {
            f"phq9_q{item}": str(self.draw.choices((0, 1, 2, 3), weights)[0]) for item in range(1, 9)
        }
        # Item 9 above zero in 5 %: one person with passing thoughts, and near the end one in imminent danger.
        found["phq9_q9"] = {13: "1", RECENT - 2: "2"}.get(self.index, "0")
        if found["phq9_q9"] != "0":
            answers = ("no", "yes", "no", "no", "no") if self.index == 13 else ("yes", "yes", "yes", "no", "yes")
            found |= {f"asq_q{item}": answer for item, answer in enumerate(answers, start=1)}
        return found

    def _goal(self) -> dict[str, object]:
        goal = self.draw.choices(("reduce", "stop", "unsure"), (5, 3, 2))[0]
        return {"client_goal": goal, "client_wants_rehab": "yes" if goal == "stop" else "no"}
