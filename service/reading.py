"""A submission opened and read: its answers, when it happened, what it says about consent and client."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from forms.answers import read
from forms.definition import Answer, AnswerFinding, Answers, FormDefinition
from forms.sheets import Text
from integrations.odk.submission import read_envelope
from rules.facts import ConsentFact
from rules.programme import Means, Programme
from service import clients
from service.desk import Work
from service.quarantine import Encrypted
from service.queries.records import Place
from service.tables import Submission


@dataclass(frozen=True)
class Opened:
    """A submission as it was read. `consents` are its own; `code` is the client code that it brought."""

    submission: Submission
    form: FormDefinition
    answers: Answers
    findings: tuple[AnswerFinding, ...]
    event_date: date
    consents: tuple[ConsentFact, ...]
    refuses: bool
    code: str

    @property
    def place(self) -> Place:
        return Place(self.event_date, self.submission.received_at, self.submission.id.hex)


def opened(work: Work, row: Submission) -> Opened:
    """Raises whatever makes it unreadable: a missing key, another form, an encrypted submission."""
    xml = work.desk.vault.open(row.key_id, row.sealed_xml, "xml")
    if read_envelope(xml).encrypted:
        raise Encrypted("the submission is encrypted")
    form = work.desk.shelf.form(work.session, row.form_id, row.form_version)
    submitted = read(form, xml)
    day, found = _event_date(work, form, submitted.answers, row.received_at)
    return Opened(
        submission=row,
        form=form,
        answers=submitted.answers,
        findings=(*submitted.findings, *found),
        event_date=day,
        consents=work.programme.own_consents(form.form_id, submitted.answers, day),
        refuses=work.programme.refuses(form.form_id, submitted.answers),
        code=clients.code_given(work.programme, form.form_id, submitted.answers) or "",
    )


def _event_date(
    work: Work, form: FormDefinition, answers: Answers, received_at: datetime
) -> tuple[date, tuple[AnswerFinding, ...]]:
    """The day on which it happened, in the programme's zone (product §3): what the sheet `fields` marks, else `end`.

    Later than a day after its receipt it cannot be: a phone's clock is wrong, and the receipt counts.
    """
    received = received_at.astimezone(work.zone).date()
    said_day = _as_day(work.programme.answer(form.form_id, Means.EVENT_DATE, answers), work.zone)
    day = said_day or _as_day(_end(form, answers), work.zone) or received
    if day <= received + timedelta(days=1):
        return day, ()
    finding = AnswerFinding(
        "event-date.future",
        "warning",
        "",
        Text(
            "Ngày thực hiện sau ngày nhận hơn một ngày; đã dùng ngày nhận. Kiểm tra đồng hồ của điện thoại.",
            "The event date is over a day after the receipt; the day of receipt was used. Check the phone's clock.",
        ),
    )
    return received, (finding,)


def _end(form: FormDefinition, answers: Answers) -> Answer | None:
    for item in form.fields:
        answer = answers.get(item.path)
        if item.preload == "timestamp/end" and answer is not None and not isinstance(answer, list):
            return answer
    return None


def _as_day(answer: Answer | None, zone: ZoneInfo) -> date | None:
    if not isinstance(answer, str):
        return None
    try:
        if len(answer) <= len("2026-01-31"):
            return date.fromisoformat(answer)
        moment = datetime.fromisoformat(answer)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(zone).date()


def reportable(programme: Programme, form: str, answers: Answers) -> Iterator[tuple[str, str]]:
    """(field name, value) of what the sheet `fields` marks as reportable: each choice, each row of a repeat."""
    for path, answer in answers.items():
        meaning = programme.meaning(form, path)
        if meaning is None or not meaning.reportable:
            continue
        for row in answer if isinstance(answer, list) else [answer]:
            for value in row if isinstance(row, tuple) else [row]:
                if value is not None:
                    yield meaning.field, _counted(value)


def _counted(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}"[:255] if isinstance(value, float) else str(value)[:255]
