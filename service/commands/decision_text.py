"""A decision as people read it in a terminal: what follows, how soon, and why."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from forms.sheets import Language, Text
from rules.decision import Alert, Decision, Flag, FollowUpWanted, Notice, Reason, ReferralWanted, Stopped
from rules.model import Rulebook
from rules.programme import Programme
from service.commands.printing import in_language, part_lines

_WORDS: Mapping[str, Text] = {
    "same_day": Text("trong ngày", "same day"),
    "same_visit": Text("ngay tại buổi", "same visit"),
    "priority": Text("ưu tiên", "priority"),
    "soon": Text("sớm", "soon"),
    "routine": Text("thường", "routine"),
    "info": Text("thông tin", "information"),
    "warning": Text("chú ý", "warning"),
    "low": Text("thấp", "low"),
    "moderate": Text("vừa", "moderate"),
    "high": Text("cao", "high"),
    "critical": Text("nguy cấp", "critical"),
    "worker": Text("cán bộ tiếp cận", "worker"),
    "supervisor": Text("giám sát viên", "supervisor"),
    "coordinator": Text("điều phối viên", "coordinator"),
    "provider": Text("cơ sở", "provider"),
    "staff": Text("cán bộ chương trình", "staff"),
    "drop": Text("không chuyển gửi", "no referral"),
    "information_only": Text("chỉ cung cấp thông tin", "information only"),
    "self_referral_information": Text("đưa thông tin để tự đến", "information for going there oneself"),
    "offer_again": Text("hỏi lại sau", "offer again later"),
    "attach_to_open": Text("ghi thêm vào chuyển gửi đang mở", "a note on the open referral"),
}


def decision_lines(decision: Decision, rulebook: Rulebook, programme: Programme | None, language: str) -> Iterator[str]:
    """The decision, a line each. Sections that are empty are left out."""
    return _Telling(rulebook, programme, language).of(decision)


@dataclass(frozen=True, slots=True)
class _Telling:
    rulebook: Rulebook
    programme: Programme | None
    language: str

    def of(self, decision: Decision) -> Iterator[str]:
        if not decision.agreed:
            yield self._say("CHỈ CÓ KẾT QUẢ TRONG NGÀY, vì có điều chưa chắc:", "ONLY SAME-DAY OUTCOMES, for in doubt:")
            yield f"  {decision.disagreement}"
        yield f"{self._say('Quy tắc áp dụng', 'Rules that fired')}: {self._fired(decision)}"
        yield from self._section("Cờ", "Flags", (self._flag(item) for item in decision.flags))
        yield from self._section("Chuyển gửi", "Referrals", (self._referral(item) for item in decision.referrals))
        yield from self._section("Giữ lại", "Held back", (self._stopped(item) for item in decision.stopped))
        yield from self._section("Chỉ báo nội bộ", "Kept inside", (self._alert(item) for item in decision.held))
        yield from self._section("Theo dõi", "Follow-ups", (self._follow_up(item) for item in decision.follow_ups))
        yield from self._section("Báo tin", "Notices", (self._notice(item) for item in decision.notices))

    def _say(self, vi: str, en: str) -> str:
        return vi if self.language == Language.VI else en

    def _word(self, code: str) -> str:
        return _WORDS[code].to(self.language) if code in _WORDS else code

    def _section(self, vi: str, en: str, items: Iterable[Iterable[str]]) -> Iterator[str]:
        lines = [f"  {line}" for item in items for line in item]
        if lines:
            yield from ("", self._say(vi, en), *lines)

    def _fired(self, decision: Decision) -> str:
        rules = (self.rulebook.rule(rule_id) for rule_id in decision.fired)
        places = [f"{rule.rule_id} (rules!{rule.row})" for rule in rules if rule]
        return ", ".join(places) or self._say("không có", "none")

    # ---- outcomes ----

    def _flag(self, flag: Flag) -> Iterator[str]:
        soon = [self._word(flag.urgency), self._due(flag.due)] if flag.urgency else []
        yield " · ".join([flag.code, self._word(flag.level), *filter(None, soon)])
        yield from self._message(flag.message)
        yield from self._reasons(flag.reasons)

    def _referral(self, wanted: ReferralWanted) -> Iterator[str]:
        inside = [self._say("nội bộ", "internal")] if wanted.internal else []
        yield " · ".join([self._service(wanted.service), self._word(wanted.urgency), self._due(wanted.due), *inside])
        yield from self._message(wanted.message)
        yield from self._reasons(wanted.reasons)

    def _stopped(self, stopped: Stopped) -> Iterator[str]:
        action, plus, days = stopped.instead.partition(" + ")
        later = self._say(f" ({days} ngày)", f" ({days} days)") if plus else ""
        yield f"{self._service(stopped.wanted.service)} · {stopped.stop_id} → {self._word(action)}{later}"
        yield from self._message(stopped.message)
        yield from self._reasons((stopped.reason, *stopped.also))
        yield f"  {self._say('Lẽ ra chuyển gửi, vì', 'It was wanted because of')}:"
        yield from (f"  {line}" for line in self._reasons(stopped.wanted.reasons))

    def _alert(self, alert: Alert) -> Iterator[str]:
        yield self._say(
            f"{self._service(alert.service)} · {alert.stop_id}: không gửi ra ngoài",
            f"{self._service(alert.service)} · {alert.stop_id}: nothing is sent outside",
        )
        yield from self._reasons((alert.reason,))

    def _follow_up(self, wanted: FollowUpWanted) -> Iterator[str]:
        window = self._say(f"từ {wanted.opens} đến {wanted.closes}", f"open from {wanted.opens} to {wanted.closes}")
        label = in_language(wanted.label, self.language)
        name = f"{wanted.schedule} {wanted.step}"
        yield " · ".join(filter(None, [name, label, self._due(wanted.due), window, wanted.form, wanted.cause]))

    def _notice(self, notice: Notice) -> Iterator[str]:
        urgency = [self._word(notice.urgency)] if notice.urgency else []
        message = in_language(notice.message, self.language)
        yield " · ".join(filter(None, [self._word(notice.to), notice.rule_id, *urgency, message]))

    # ---- what they are made of ----

    def _service(self, code: str) -> str:
        entry = self.programme.service.get(code) if self.programme else None
        label = in_language(entry.labels, self.language) if entry else ""
        return f"{code} ({label})" if label else code

    def _due(self, due: dt.date | None) -> str:
        return self._say(f"hạn {due}", f"due {due}") if due else ""

    def _message(self, message: Mapping[str, str]) -> Iterator[str]:
        if text := in_language(message, self.language):
            yield f"  {text}"

    def _reasons(self, reasons: Iterable[Reason]) -> Iterator[str]:
        for reason in reasons:
            because = self._say(", theo ", ", after ") + ", ".join(reason.because) if reason.because else ""
            yield f"  {reason.rule_id} ({reason.sheet}!{reason.row}){because}"
            yield from part_lines(reason.condition, self.language, "    ")
