"""The words of the screens for what the tables call by codes: urgency, state, level, reason, role.

Each is marked with `N_` and said in the reader's language where it is shown. Urgency and state always have a word and
a shape; colour only repeats them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service import flags
from service.outcomes import Ended
from service.referrals import Reason, SystemReason
from service.tables import ConsentState, Referral, ReferralState, Role, VersionState


def N_(sentence: str) -> str:  # noqa: N802 - the name by which gettext's tools know a sentence that is said later
    return sentence


@dataclass(frozen=True, slots=True)
class Mark:
    """A word with its shape. `style` is a class of the stylesheet."""

    word: str
    icon: str
    style: str


@dataclass(frozen=True, slots=True)
class LanguageName:
    """How a language calls itself; `short` stands in the bar."""

    short: str
    name: str


LANGUAGE: Mapping[str, LanguageName] = {"vi": LanguageName("VI", "Tiếng Việt"), "en": LanguageName("EN", "English")}

URGENCY: Mapping[str, Mark] = {
    "same_day": Mark(N_("Trong ngày"), "alarm-clock", "today"),
    "same_visit": Mark(N_("Ngay tại buổi"), "message-circle", "priority"),
    "priority": Mark(N_("Ưu tiên"), "chevrons-up", "priority"),
    "soon": Mark(N_("Sớm"), "chevron-up", "soon"),
    "routine": Mark(N_("Thường"), "minus", "calm"),
}

STATE: Mapping[str, str] = {
    ReferralState.PROPOSED: N_("Đề xuất"),
    ReferralState.APPROVED: N_("Đã duyệt"),
    ReferralState.SENT: N_("Đã chuyển"),
    ReferralState.ACCEPTED: N_("Đã tiếp nhận"),
    ReferralState.ON_HOLD: N_("Chờ chỗ"),
    ReferralState.NO_SHOW: N_("Không đến"),
    ReferralState.REJECTED_BY_PROVIDER: N_("Cơ sở từ chối"),
    ReferralState.ATTENDED: N_("Đã đến"),
    ReferralState.STARTED: N_("Đã bắt đầu"),
    ReferralState.COMPLETED: N_("Hoàn thành"),
    ReferralState.NOT_CONSENTED: N_("Không đồng ý chia sẻ"),
    ReferralState.DECLINED_BY_CLIENT: N_("Khách hàng từ chối"),
    ReferralState.WITHDRAWN: N_("Đã rút"),
    ReferralState.EXPIRED: N_("Hết hạn"),
    ReferralState.FAILED: N_("Không thành"),
    ReferralState.SUPERSEDED: N_("Đã thay bằng phiếu khác"),
}

#: Where a provider's own word is plainer than the programme's.
PROVIDER_STATE: Mapping[str, str] = {ReferralState.SENT: N_("Mới chuyển đến")}

#: Codes of why a referral ended: a person's (referrals.Reason) or the system's.
REASON: Mapping[str, str] = {
    Reason.NO_CAPACITY: N_("Cơ sở hết chỗ"),
    Reason.NOT_ELIGIBLE: N_("Không đủ điều kiện của dịch vụ"),
    Reason.COULD_NOT_CONTACT: N_("Không liên lạc được"),
    Reason.NEEDS_CLIENT_ACTION: N_("Khách hàng cần làm việc khác trước"),
    Reason.REFERRED_ELSEWHERE: N_("Đã chuyển nơi khác"),
    Reason.NO_LONGER_INTERESTED: N_("Khách hàng không còn muốn"),
    Reason.OTHER: N_("Lý do khác"),
    SystemReason.OBSERVATION_REPLACED: N_("Phiếu khảo sát đã được sửa"),
    SystemReason.DECIDED_ANEW: N_("Quyết định lại sau phiếu mới"),
}

#: Why a flag stands no more: a person's reason (flags.Reason) or the system's (outcomes.Ended).
FLAG_REASON: Mapping[str, str] = {
    flags.Reason.DEALT_WITH: N_("Đã xử lý"),
    flags.Reason.NO_LONGER_TRUE: N_("Không còn đúng"),
    flags.Reason.MISTAKE: N_("Ghi nhầm trong biểu mẫu"),
    flags.Reason.OTHER: N_("Lý do khác"),
    Ended.NOT_RAISED: N_("Lần khảo sát sau không còn thấy"),
    Ended.RAISED_AGAIN: N_("Lần khảo sát sau thấy lại"),
    Ended.DECIDED_ANEW: N_("Quyết định lại sau phiếu mới"),
    Ended.OBSERVATION_REPLACED: N_("Phiếu khảo sát đã được sửa"),
}

#: What happened to a referral, by the event's code.
EVENT: Mapping[str, str] = {
    "proposed": N_("Đề xuất"),
    "approved": N_("Duyệt"),
    "sent": N_("Chuyển đến cơ sở"),
    "declined": N_("Không duyệt"),
    "revised": N_("Sửa theo câu trả lời mới"),
    "raised": N_("Nâng mức khẩn cấp"),
    "attached": N_("Ghi thêm nhu cầu mới vào phiếu này"),
    "superseded": N_("Thay bằng quyết định mới"),
    "completed": N_("Hoàn thành"),
}

#: The step that each state has reached, of seven (internal services: of three).
STEPS: tuple[str, ...] = (
    N_("Đề xuất"),
    N_("Duyệt"),
    N_("Chuyển"),
    N_("Tiếp nhận"),
    N_("Đến nơi"),
    N_("Bắt đầu"),
    N_("Hoàn thành"),
)
INTERNAL_STEPS: tuple[str, ...] = (N_("Đề xuất"), N_("Thực hiện"), N_("Hoàn thành"))
_STEP_OF: Mapping[str, int] = {
    ReferralState.PROPOSED: 1,
    ReferralState.APPROVED: 2,
    ReferralState.SENT: 3,
    ReferralState.REJECTED_BY_PROVIDER: 3,
    ReferralState.ACCEPTED: 4,
    ReferralState.ON_HOLD: 4,
    ReferralState.NO_SHOW: 4,
    ReferralState.ATTENDED: 5,
    ReferralState.STARTED: 6,
    ReferralState.COMPLETED: 7,
}


def step_of(referral: Referral) -> int:
    """How many steps a referral has made; one that ended otherwise counts as far as its first."""
    if referral.internal:
        return {ReferralState.APPROVED: 2, ReferralState.COMPLETED: 3}.get(referral.state, 1)
    return _STEP_OF.get(referral.state, 1)


#: Levels of a flag that say how grave a finding is; `info` and `warning` say nothing about the person.
LEVEL: Mapping[str, str] = {
    "low": N_("mức thấp"),
    "moderate": N_("mức trung bình"),
    "high": N_("mức cao"),
    "critical": N_("mức cấp bách"),
}

#: Levels as a form or a band table calculates them; they have no choice list that would say them.
LEVEL_VALUE: Mapping[str, str] = {
    "low": N_("thấp"),
    "moderate": N_("trung bình"),
    "high": N_("cao"),
    "critical": N_("cấp bách"),
}

CONSENT: Mapping[str, str] = {
    ConsentState.GIVEN: N_("Đồng ý chia sẻ"),
    ConsentState.REFUSED: N_("Không đồng ý chia sẻ"),
    ConsentState.WITHDRAWN: N_("Đã rút lại đồng ý"),
}

ROLE: Mapping[str, str] = {
    Role.ENUMERATOR: N_("Nhân viên công tác xã hội"),
    Role.POLICE: N_("Cán bộ chuyển gửi"),
    Role.SUPERVISOR: N_("Giám sát viên"),
    Role.COORDINATOR: N_("Điều phối viên"),
    Role.PROVIDER: N_("Cơ sở cung cấp dịch vụ"),
    Role.STAFF: N_("Cán bộ chương trình"),
    Role.ADMIN: N_("Quản trị viên"),
}

VERSION: Mapping[str, str] = {
    VersionState.LIVE: N_("Đang dùng"),
    VersionState.CLOSING: N_("Còn nhận bài cũ"),
    VersionState.CLOSED: N_("Đã đóng"),
}

#: What a provider sees of a referral: the page of providers shows these and nothing else.
PROVIDER_SEES: tuple[str, ...] = (N_("mã khách hàng"), N_("dịch vụ cần"), N_("mức độ khẩn cấp"), N_("hạn xử lý"))
PROVIDER_NEVER_SEES: tuple[str, ...] = (
    N_("điểm sàng lọc và lý do"),
    N_("dịch vụ khác"),
    N_("ai giới thiệu"),
    N_("ghi chú tư vấn"),
)
