"""Record functions: what rules may ask besides the answers of the observation. Each is an entry of the catalogue.

"Earlier" is the record just before the observation. `latest` and `count-within` count the observation itself too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from types import MappingProxyType

from forms.expressions.errors import Refused
from forms.expressions.functions import CATALOGUE
from forms.expressions.signatures import Argument, Environment, Function
from forms.expressions.values import Nodeset, Value, ValueType, to_number, to_text
from forms.sheets import Text
from rules.facts import TAKE_PART, ConsentState
from rules.fields import Fields
from rules.record import consent_state, consents_to
from rules.sight import Sight, months_between, treatment_began

Given = tuple[Value | Nodeset, ...]


class Context(StrEnum):
    """Where an expression stands. Some functions have a meaning in some places only."""

    SUBMISSION = "submission"
    CLIENT = "client"
    """An event or clock rule about a client."""
    REFERRAL = "referral"
    """An event or clock rule about a referral."""
    STOP = "stop"
    CALCULATION = "calculation"


#: The kinds of names that quoted arguments hold.
class Names(StrEnum):
    FIELD = "field"
    FORM = "form"
    SERVICE = "service"
    FLAG = "flag"


FIELD = Argument(Text("tên câu hỏi", "field"), ValueType.TEXT, literal=True)
FORM = Argument(Text("mã biểu mẫu", "form"), ValueType.TEXT, literal=True)
SERVICE = Argument(Text("mã dịch vụ", "service"), ValueType.TEXT, literal=True)
FLAG = Argument(Text("mã cờ", "flag"), ValueType.TEXT, literal=True)
DAYS = Argument(Text("số ngày", "days"), ValueType.NUMBER)
VALUE = Argument(Text("giá trị", "value"))
ASPECT = Argument(Text("khía cạnh", "aspect"), ValueType.TEXT, literal=True)

#: What the first argument of a function names, for the publish checks.
NAMES_OF: Mapping[str, Names] = {
    "previous": Names.FIELD,
    "change": Names.FIELD,
    "latest": Names.FIELD,
    "days-since-answered": Names.FIELD,
    "count-within": Names.FIELD,
    "days-since": Names.FORM,
    "count-open": Names.SERVICE,
    "in-treatment": Names.SERVICE,
    "months-in-treatment": Names.SERVICE,
    "declined-within": Names.SERVICE,
    "consents-to": Names.SERVICE,
    "refers-to": Names.SERVICE,
    "has-flag": Names.FLAG,
}

_EVERYWHERE = frozenset(Context)
_WITH_OBSERVATION = frozenset({Context.SUBMISSION, Context.STOP, Context.CALCULATION})
_NOT_IN_CALCULATIONS = _EVERYWHERE - {Context.CALCULATION}

#: Where a function may stand; those that are not named here may stand everywhere.
CONTEXTS: Mapping[str, frozenset[Context]] = {
    "previous": _WITH_OBSERVATION,
    "change": _WITH_OBSERVATION,
    "has-flag": _NOT_IN_CALCULATIONS,
    "refers-to": _NOT_IN_CALCULATIONS,
    "referral": frozenset({Context.REFERRAL}),
    "service": frozenset({Context.STOP}),
}

#: What to write instead, where a function stands in the wrong place.
WRONG_PLACE: Mapping[str, Text] = {
    "previous": Text(
        "Quy tắc event và clock không có phiếu: dùng latest('…').",
        "Event and clock rules have no form: use latest('…').",
    ),
    "change": Text(
        "Quy tắc event và clock không có phiếu: viết quy tắc submission.",
        "Event and clock rules have no form: write a submission rule.",
    ),
    "has-flag": Text("Viết has-flag() trong ô when của quy tắc.", "Write has-flag() in the cell when of the rule."),
    "refers-to": Text("Viết refers-to() trong ô when của quy tắc.", "Write refers-to() in the cell when of the rule."),
    "referral": Text(
        "Chỉ dùng trong quy tắc event hoặc clock có subject là referral.",
        "Use it in event or clock rules whose subject is referral.",
    ),
    "service": Text("Chỉ dùng trong trang stops.", "Use it in the sheet stops."),
}


def _sight(env: Environment) -> Sight:
    if isinstance(env.record, Sight):
        return env.record
    raise Refused(
        Text(
            "Hàm này hỏi hồ sơ của khách hàng, ở đây không có.",
            "This asks the client's record, and there is none here.",
        ),
        Text("Dùng trong quy tắc, hoặc đưa hồ sơ vào (--record).", "Use it in a rule, or give a record (--record)."),
    )


def _text(env: Environment, value: Value | Nodeset) -> str:
    return "" if isinstance(value, tuple) else to_text(value, env.now)


def _days(env: Environment, value: Value | Nodeset) -> float:
    return math.nan if isinstance(value, tuple) else to_number(value, env.now)


def _previous(env: Environment, given: Given) -> Value:
    return _sight(env).previous(_text(env, given[0]))


def _latest(env: Environment, given: Given) -> Value:
    return _sight(env).latest(_text(env, given[0]))


def _change(env: Environment, given: Given) -> Value:
    sight, field = _sight(env), _text(env, given[0])
    return to_number(sight.now_answered(field), env.now) - to_number(sight.previous(field), env.now)


def _days_since(env: Environment, given: Given) -> Value:
    sight, form = _sight(env), _text(env, given[0])
    dates = [item.date for item in sight.facts.record.observations if item.form == form]
    return float(sight.days_since(max(dates))) if dates else ""


def _days_since_answered(env: Environment, given: Given) -> Value:
    sight = _sight(env)
    dates = [observation.date for observation, _ in sight.earlier(_text(env, given[0]))]
    return float(sight.days_since(max(dates))) if dates else ""


def _count_within(env: Environment, given: Given) -> Value:
    sight, field = _sight(env), _text(env, given[0])
    wanted, days = _text(env, given[1]), _days(env, given[2])
    answered = [(sight.facts.date, sight.now_answered(field))]
    answered += [(observation.date, value) for observation, value in sight.earlier(field)]
    found = {date for date, value in answered if wanted and wanted in (_text(env, value), *_text(env, value).split())}
    return float(sum(0 <= sight.days_since(date) < days for date in found))


def _count_open(env: Environment, given: Given) -> Value:
    return float(_sight(env).open_referrals(_text(env, given[0])))


def _in_treatment(env: Environment, given: Given) -> Value:
    return _sight(env).treatment(_text(env, given[0])) is not None


def _months_in_treatment(env: Environment, given: Given) -> Value:
    sight = _sight(env)
    treatment = sight.treatment(_text(env, given[0]))
    return float(months_between(treatment_began(treatment), sight.today)) if treatment else ""


def _declined_within(env: Environment, given: Given) -> Value:
    return _sight(env).declined_within(_text(env, given[0]), _days(env, given[1]))


def _consents_to(env: Environment, given: Given) -> Value:
    return consents_to(_sight(env).facts, _text(env, given[0]))


def _consents_to_take_part(env: Environment, given: Given) -> Value:
    return consent_state(_sight(env).facts, TAKE_PART) is ConsentState.GIVEN


def _consent_withdrawn(env: Environment, given: Given) -> Value:
    return consent_state(_sight(env).facts, TAKE_PART) is ConsentState.WITHDRAWN


def _missed_in_a_row(env: Environment, given: Given) -> Value:
    return float(_sight(env).missed_in_a_row())


def _has_flag(env: Environment, given: Given) -> Value:
    return _sight(env).has_flag(_text(env, given[0]))


def _refers_to(env: Environment, given: Given) -> Value:
    return _sight(env).refers_to(_text(env, given[0]))


def _service(env: Environment, given: Given) -> Value:
    return _sight(env).service


def _days_overdue(sight: Sight) -> float:
    due = sight.referral.due if sight.referral else None
    return float(max(0, sight.days_since(due))) if due else 0.0


_ASPECTS: Mapping[str, tuple[ValueType, Callable[[Sight], Value]]] = {
    "service": (ValueType.TEXT, lambda sight: sight.referral.service if sight.referral else ""),
    "state": (ValueType.TEXT, lambda sight: sight.referral.state if sight.referral else ""),
    "urgency": (ValueType.TEXT, lambda sight: sight.referral.urgency if sight.referral else ""),
    "no-shows": (ValueType.NUMBER, lambda sight: float(sight.referral.no_shows) if sight.referral else 0.0),
    "days-overdue": (ValueType.NUMBER, _days_overdue),
    "days-in-state": (
        ValueType.NUMBER,
        lambda sight: float(sight.days_since(sight.referral.state_since)) if sight.referral else 0.0,
    ),
}


def _referral(env: Environment, given: Given) -> Value:
    _, read = _ASPECTS[_text(env, given[0])]
    return read(_sight(env))


def _known_aspect(literals: tuple[str | None, ...]) -> None:
    if literals[0] not in _ASPECTS:
        choices = ", ".join(f"'{name}'" for name in _ASPECTS)
        raise Refused(
            Text(f"referral() không biết '{literals[0]}'.", f"referral() knows nothing of '{literals[0]}'."),
            Text(f"Chọn một trong: {choices}.", f"Choose one of {choices}."),
        )


def _aspect_type(literals: tuple[str | None, ...]) -> ValueType:
    return _ASPECTS[literals[0] or ""][0]


_NEVER_EMPTY = Text("Chưa bao giờ trả lời: trống.", "Never answered: blank.")
_NONE_IS_ZERO = Text("Không có gì: 0.", "Nothing: 0.")
_NONE_IS_FALSE = Text("Không có gì: sai.", "Nothing: false.")
_SILENCE_IS_NO = Text("Im lặng là không.", "Silence is no.")


_BOOLEAN, _NUMBER, _TEXT, _ANY = ValueType.BOOLEAN, ValueType.NUMBER, ValueType.TEXT, ValueType.ANY

_ENTRIES: tuple[Function, ...] = (
    Function(
        "previous",
        (FIELD,),
        _ANY,
        Text(
            "Câu trả lời ở lần gần nhất trước phiếu này, của bất kỳ biểu mẫu nào.",
            "The answer at the client's latest earlier observation that has one, of any form.",
        ),
        _NEVER_EMPTY,
        "previous('level') = 'low'",
        _previous,
    ),
    Function(
        "change",
        (FIELD,),
        _NUMBER,
        Text("Số lần này trừ số lần trước.", "This observation's number less the previous one."),
        Text(
            "Một trong hai trống: trống, so sánh nào cũng sai.", "Either blank: blank, and every comparison is false."
        ),
        "change('score') >= 5",
        _change,
    ),
    Function(
        "latest",
        (FIELD,),
        _ANY,
        Text(
            "Câu trả lời mới nhất, kể cả của phiếu này.",
            "The latest answer, that of this observation included.",
        ),
        _NEVER_EMPTY,
        "latest('plan_state') = 'active'",
        _latest,
    ),
    Function(
        "days-since",
        (FORM,),
        _NUMBER,
        Text(
            "Số ngày từ phiếu trước gần nhất của biểu mẫu đến hôm nay.",
            "Days from the last earlier observation of that form to today.",
        ),
        Text("Chưa có phiếu nào: trống.", "Never observed: blank."),
        "days-since('visit') > 90",
        _days_since,
    ),
    Function(
        "days-since-answered",
        (FIELD,),
        _NUMBER,
        Text(
            "Số ngày từ lần trước gần nhất có trả lời câu này đến hôm nay.",
            "Days from the last earlier observation that answered this to today.",
        ),
        _NEVER_EMPTY,
        "days-since-answered('score') >= 28",
        _days_since_answered,
    ),
    Function(
        "count-within",
        (FIELD, VALUE, DAYS),
        _NUMBER,
        Text(
            "Số ngày khác nhau có câu trả lời này, trong số ngày gần nhất, tính cả phiếu này.",
            "Distinct days with this answer within the last days, this observation and today included.",
        ),
        _NONE_IS_ZERO,
        "count-within('result', 'not_reached', 14) >= 3",
        _count_within,
    ),
    Function(
        "count-open",
        (SERVICE,),
        _NUMBER,
        Text("Số chuyển gửi đang mở đến dịch vụ.", "Open referrals to the service."),
        _NONE_IS_ZERO,
        "count-open('clinic') > 0",
        _count_open,
    ),
    Function(
        "in-treatment",
        (SERVICE,),
        _BOOLEAN,
        Text("Khách hàng đã bắt đầu và đang ở trong dịch vụ.", "The client has started, and is in, the service."),
        _NONE_IS_FALSE,
        "in-treatment('clinic')",
        _in_treatment,
    ),
    Function(
        "months-in-treatment",
        (SERVICE,),
        _NUMBER,
        Text("Số tháng tròn kể từ khi bắt đầu dịch vụ.", "Whole months since the service started."),
        Text("Không ở trong dịch vụ: trống.", "Not in the service: blank."),
        "months-in-treatment('clinic') = 6",
        _months_in_treatment,
    ),
    Function(
        "declined-within",
        (SERVICE, DAYS),
        _BOOLEAN,
        Text(
            "Khách hàng đã từ chối dịch vụ trong số ngày gần đây.",
            "The client declined the service within so many days.",
        ),
        _NONE_IS_FALSE,
        "declined-within('clinic', 30)",
        _declined_within,
    ),
    Function(
        "consents-to",
        (SERVICE,),
        _BOOLEAN,
        Text(
            "Khách hàng đồng ý chia sẻ cho dịch vụ; dịch vụ nội bộ luôn đúng.",
            "The client consents to sharing with the service; always true for internal services.",
        ),
        _SILENCE_IS_NO,
        "consents-to('clinic')",
        _consents_to,
    ),
    Function(
        "consents-to-take-part",
        (),
        _BOOLEAN,
        Text("Khách hàng đồng ý tham gia.", "The client consents to take part."),
        _SILENCE_IS_NO,
        "consents-to-take-part()",
        _consents_to_take_part,
    ),
    Function(
        "consent-withdrawn",
        (),
        _BOOLEAN,
        Text("Khách hàng đã rút đồng ý tham gia.", "The client has withdrawn consent to take part."),
        _NONE_IS_FALSE,
        "consent-withdrawn()",
        _consent_withdrawn,
    ),
    Function(
        "missed-in-a-row",
        (),
        _NUMBER,
        Text("Số lần lỡ hẹn liên tiếp gần nhất.", "Follow-ups missed in a row, up to now."),
        _NONE_IS_ZERO,
        "missed-in-a-row() >= 2",
        _missed_in_a_row,
    ),
    Function(
        "has-flag",
        (FLAG,),
        _BOOLEAN,
        Text(
            "Cờ được dựng trong quyết định này, hoặc còn đứng và không do biểu mẫu này quyết định lại.",
            "The flag is raised in this decision, or stands and is not decided anew by this form.",
        ),
        _NONE_IS_FALSE,
        "has-flag('high_risk')",
        _has_flag,
    ),
    Function(
        "refers-to",
        (SERVICE,),
        _BOOLEAN,
        Text(
            "Quyết định này muốn chuyển gửi đến dịch vụ (trước khi xét trang stops).",
            "This decision wants a referral to the service (before any stop).",
        ),
        _NONE_IS_FALSE,
        "refers-to('clinic')",
        _refers_to,
    ),
    replace(
        Function(
            "referral",
            (ASPECT,),
            _ANY,
            Text(
                "Chuyển gửi của quy tắc: 'service', 'state', 'urgency', 'no-shows', 'days-overdue', 'days-in-state'.",
                "The rule's referral: 'service', 'state', 'urgency', 'no-shows', 'days-overdue', 'days-in-state'.",
            ),
            Text("Chưa quá hạn: 0 ngày.", "Not overdue: 0 days."),
            "referral('state') = 'no_show'",
            _referral,
        ),
        typed_by=_aspect_type,
        check=_known_aspect,
    ),
    Function(
        "service",
        (),
        _TEXT,
        Text("Mã dịch vụ của chuyển gửi đang xét.", "The code of the service that the stop looks at."),
        Text("Không áp dụng.", "Does not apply."),
        "count-open(service()) > 0",
        _service,
    ),
)

_BLANKABLE = frozenset({"previous", "latest", "change", "days-since", "days-since-answered", "months-in-treatment"})

FUNCTIONS = tuple(replace(item, on_phone=False, may_be_blank=item.name in _BLANKABLE) for item in _ENTRIES)

#: The record functions by name, in the order of the reference.
RECORD_FUNCTIONS: Mapping[str, Function] = MappingProxyType({item.name: item for item in FUNCTIONS})


def catalogue(fields: Fields, context: Context) -> Mapping[str, Function]:
    """All functions of the rules language, with previous() and latest() typed by the forms' fields.

    In stops a service may be computed: `consents-to(service())`.
    """
    entries = {name: _typed(item, fields) for name, item in RECORD_FUNCTIONS.items()}
    if context is Context.STOP:
        entries = {name: _computable(item) for name, item in entries.items()}
    return {**CATALOGUE, **entries}


def _typed(function: Function, fields: Fields) -> Function:
    if function.name not in ("previous", "latest"):
        return function
    return replace(function, typed_by=lambda literals: fields.type_anywhere(literals[0] or ""))


def _computable(function: Function) -> Function:
    if NAMES_OF.get(function.name) is not Names.SERVICE or function.name == "refers-to":
        return function
    first = replace(function.arguments[0], literal=False)
    return replace(function, arguments=(first, *function.arguments[1:]))
