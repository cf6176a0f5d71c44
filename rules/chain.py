"""Rules that name outcomes of other rules: their conditions as patterns, in an order that makes "not" safe.

A condition such as `has-flag('a') and (${x} > 3 or not(refers-to('b')))` is taken apart at and, or and not. What is
left are outcomes and tests; a test is any piece that names no outcome, and is computed by the expression language. The
rest is brought into disjunctive form: one branch for each way in which the condition can hold, each branch a plain
list of facts that must all be there. The matchers (rules/durable.py, rules/reference.py) see only facts:

    flag <code>      a flag raised in this decision, or standing and not decided anew
    refer <service>  a referral wanted in this decision
    hit <branch>     all tests of this branch hold
    absent <outcome> an earlier stratum is done and did not produce this outcome

There is no negation in a matcher: rules that say "not" stand in a later stratum than the rules that could produce what
they deny, and what was not produced enters there as a fact of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Any

from forms.expressions.errors import ExpressionError
from forms.expressions.syntax import FunctionCall, Literal, Negative, Node, Operation
from forms.sheets import Text

#: durable-rules joins at most 16 facts.
MAX_PATTERNS = 16
#: A condition with more ways to hold than this is nobody's intention.
MAX_BRANCHES = 64
#: durable-rules writes beyond its list of 256 rules that wait for one and the same fact.
MAX_BRANCHES_PER_FACT = 250


class Kind(StrEnum):
    """Kinds of facts, in canonical order."""

    ABSENT = "absent"
    FLAG = "flag"
    HIT = "hit"
    REFER = "refer"


#: The functions that name an outcome of another rule.
OUTCOME_FUNCTIONS: Mapping[str, Kind] = {"has-flag": Kind.FLAG, "refers-to": Kind.REFER}


@dataclass(frozen=True, slots=True, order=True)
class Fact:
    """One fact. The canonical order is by kind, then id."""

    kind: Kind
    id: str

    @property
    def absent(self) -> Fact:
        """The fact that this outcome was not produced."""
        return Fact(Kind.ABSENT, f"{self.kind}:{self.id}")


# ---- a condition taken apart ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Literally:
    """A test (by its text) or an outcome (by its fact), affirmed or denied."""

    of: Fact | str
    affirmed: bool


#: Each way in which a condition can hold.
Ways = tuple[frozenset[Literally], ...]


def names_outcome(node: Node) -> bool:
    """True if the condition asks about the outcome of a rule."""
    if isinstance(node, FunctionCall):
        return node.name in OUTCOME_FUNCTIONS or any(names_outcome(item) for item in node.arguments)
    if isinstance(node, Operation):
        return names_outcome(node.left) or names_outcome(node.right)
    return isinstance(node, Negative) and names_outcome(node.operand)


def ways(node: Node, source: str) -> Ways:
    """The disjunctive form of a condition; none where it can never hold.

    Raises ExpressionError where an outcome stands in anything but and, or and not, or there are too many ways.
    """
    found = _ways(node, source, affirmed=True)
    kept = {way for way in found if not any(Literally(item.of, not item.affirmed) in way for item in way)}
    # A way that asks for more than another one adds nothing.
    return tuple(sorted((way for way in kept if not any(other < way for other in kept)), key=_order))


def _order(way: frozenset[Literally]) -> list[tuple[str, bool]]:
    return sorted((str(item.of), item.affirmed) for item in way)


def _ways(node: Node, source: str, *, affirmed: bool) -> Ways:
    if not names_outcome(node):
        return (frozenset({Literally(source[node.start : node.end], affirmed)}),)
    if isinstance(node, FunctionCall) and node.name == "not" and len(node.arguments) == 1:
        return _ways(node.arguments[0], source, affirmed=not affirmed)
    if isinstance(node, FunctionCall) and node.name in OUTCOME_FUNCTIONS:
        return (frozenset({Literally(_outcome(node), affirmed)}),)
    if isinstance(node, Operation) and node.operator in ("and", "or"):
        left = _ways(node.left, source, affirmed=affirmed)
        right = _ways(node.right, source, affirmed=affirmed)
        # Denied, "and" is "or" of the denied, and the other way round.
        joined = _both(left, right) if (node.operator == "and") == affirmed else tuple({*left, *right})
        if len(joined) > MAX_BRANCHES:
            raise _too_many_ways(node)
        return joined
    raise _outcome_inside(node)


def _both(left: Ways, right: Ways) -> Ways:
    return tuple({one | other for one, other in product(left, right)})


def _outcome(call: FunctionCall) -> Fact:
    argument = call.arguments[0] if len(call.arguments) == 1 else None
    if isinstance(argument, Literal) and isinstance(argument.value, str):
        return Fact(OUTCOME_FUNCTIONS[call.name], argument.value)
    raise _outcome_inside(call)


def _outcome_inside(node: Node) -> ExpressionError:
    return ExpressionError(
        Text(
            "has-flag('…') và refers-to('…') chỉ nối được bằng and, or, not().",
            "has-flag('…') and refers-to('…') can only be joined by and, or, not().",
        ),
        Text(
            "Viết điều kiện bằng and, or, not(); không so sánh, không đặt trong hàm khác.",
            "Write the condition with and, or, not(); do not compare them or put them into another function.",
        ),
        node.start,
        node.end,
    )


def _too_many_ways(node: Node) -> ExpressionError:
    return ExpressionError(
        Text(
            f"Điều kiện có hơn {MAX_BRANCHES} cách đúng khác nhau.",
            f"There are more than {MAX_BRANCHES} different ways for this condition to hold.",
        ),
        Text("Tách thành nhiều quy tắc.", "Split it into several rules."),
        node.start,
        node.end,
    )


# ---- the document that both matchers read ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Branch:
    """One way in which a rule fires: all of `needs` must be there; `makes` are the outcomes that follow.

    `tests` are pieces of the condition that the expression language decides, with the truth they must have; where
    there are any, `needs` holds the branch's own hit.
    """

    name: str
    rule_id: str
    needs: tuple[Fact, ...]
    makes: tuple[Fact, ...]
    tests: tuple[tuple[str, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Stratum:
    """Branches that may run together. `denied` are the outcomes whose absence they ask for."""

    branches: tuple[Branch, ...]
    denied: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class Chain:
    """The chaining rules of one form (or trigger), in strata. Equal whatever order the rows stood in."""

    strata: tuple[Stratum, ...] = ()

    @property
    def branches(self) -> tuple[Branch, ...]:
        return tuple(branch for stratum in self.strata for branch in stratum.branches)


@dataclass(frozen=True, slots=True)
class ChainingRule:
    """A rule for the chain: in which ways it fires, and what it makes."""

    rule_id: str
    ways: Ways
    makes: frozenset[Fact]


class CircleThroughNot(ValueError):
    """Rules that, by way of each other, deny what they themselves bring about; `rule_ids` go round the circle."""

    def __init__(self, rule_ids: Sequence[str]) -> None:
        self.rule_ids = tuple(rule_ids)
        super().__init__(" → ".join(self.rule_ids))


class TooWide(ValueError):
    """More facts in one branch, or more branches on one fact, than durable-rules holds."""

    def __init__(self, rule_id: str, problem: Text) -> None:
        self.rule_id = rule_id
        self.problem = problem
        super().__init__(problem.en)


def build(rules: Iterable[ChainingRule]) -> Chain:
    """The chain of these rules. Raises CircleThroughNot or TooWide."""
    ordered = sorted(rules, key=lambda item: item.rule_id)
    levels = _levels(ordered)
    strata = []
    for level in range(max(levels.values(), default=-1) + 1):
        here = [item for item in ordered if levels[item.rule_id] == level]
        branches = tuple(branch for item in here for branch in _branches(item))
        denied = {fact for item in here for fact in _outcomes(item, affirmed=False)}
        strata.append(Stratum(branches, tuple(sorted(denied))))
        _fits(branches)
    return Chain(tuple(strata))


def _branches(rule: ChainingRule) -> Iterable[Branch]:
    for number, way in enumerate(rule.ways, start=1):
        name = f"{rule.rule_id}#{number}"
        tests = tuple(sorted((item.of, item.affirmed) for item in way if isinstance(item.of, str)))
        needs = {item.of if item.affirmed else item.of.absent for item in way if isinstance(item.of, Fact)}
        if tests:
            needs.add(Fact(Kind.HIT, name))
        yield Branch(name, rule.rule_id, tuple(sorted(needs)), tuple(sorted(rule.makes)), tests)


def _fits(branches: Sequence[Branch]) -> None:
    waiting: dict[Fact, int] = {}
    for branch in branches:
        if len(branch.needs) > MAX_PATTERNS:
            raise TooWide(
                branch.rule_id,
                Text(
                    f"Điều kiện nối hơn {MAX_PATTERNS} kết quả của quy tắc khác.",
                    f"The condition joins more than {MAX_PATTERNS} outcomes of other rules.",
                ),
            )
        for fact in branch.needs:
            waiting[fact] = waiting.get(fact, 0) + 1
            if waiting[fact] > MAX_BRANCHES_PER_FACT:
                raise TooWide(
                    branch.rule_id,
                    Text(
                        f"Hơn {MAX_BRANCHES_PER_FACT} điều kiện hỏi '{fact.id}'.",
                        f"More than {MAX_BRANCHES_PER_FACT} conditions ask for '{fact.id}'.",
                    ),
                )


def _outcomes(rule: ChainingRule, *, affirmed: bool) -> set[Fact]:
    return {item.of for way in rule.ways for item in way if isinstance(item.of, Fact) and item.affirmed is affirmed}


def _levels(rules: Sequence[ChainingRule]) -> dict[str, int]:
    """The stratum of each rule: after those that make what it denies, not before those that make what it affirms."""
    makers: dict[Fact, list[str]] = {}
    for rule in rules:
        for fact in rule.makes:
            makers.setdefault(fact, []).append(rule.rule_id)
    edges = [
        (maker, rule.rule_id, 0 if affirmed else 1)
        for rule in rules
        for affirmed in (True, False)
        for fact in sorted(_outcomes(rule, affirmed=affirmed))
        for maker in makers.get(fact, ())
    ]
    _refuse_circles(edges)
    levels = {rule.rule_id: 0 for rule in rules}
    moved = True
    while moved:
        moved = False
        for maker, rule_id, step in edges:
            if levels[rule_id] < levels[maker] + step:
                levels[rule_id] = levels[maker] + step
                moved = True
    return levels


def _refuse_circles(edges: Sequence[tuple[str, str, int]]) -> None:
    """Raises CircleThroughNot for the first denying edge that lies on a circle."""
    after: dict[str, list[str]] = {}
    for maker, rule_id, _ in edges:
        after.setdefault(maker, []).append(rule_id)
    for maker, rule_id, step in edges:
        path = _path(after, rule_id, maker) if step else None
        if path is not None:
            raise CircleThroughNot(path)


def _path(after: Mapping[str, Sequence[str]], start: str, goal: str) -> list[str] | None:
    """The shortest way from one rule to another along the edges."""
    paths = {start: [start]}
    waiting = [start]
    while waiting:
        at = waiting.pop(0)
        if at == goal:
            return paths[at]
        for following in after.get(at, ()):
            if following not in paths:
                paths[following] = [*paths[at], following]
                waiting.append(following)
    return None


# ---- matching -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trace:
    """What a matcher came to: the names of the branches that fired, sorted, and every outcome that is there."""

    fired: tuple[str, ...]
    outcomes: tuple[Fact, ...]


#: A matcher: the chain, and the facts known at the start (hits and outcomes) → what follows.
Matcher = Callable[[Chain, frozenset[Fact]], Trace]

#: One stratum: its place in the chain, and the facts known → the branches that fire, with what follows within it.
StratumMatcher = Callable[[int, frozenset[Fact]], Iterable[Branch]]


def run_strata(chain: Chain, facts: frozenset[Fact], match: StratumMatcher) -> Trace:
    """One stratum after the other; what a stratum denies and nobody has produced enters it as a fact."""
    known = facts
    fired: set[str] = set()
    for place, stratum in enumerate(chain.strata):
        absent = {fact.absent for fact in stratum.denied if fact not in known}
        branches = tuple(match(place, known | absent))
        fired.update(branch.name for branch in branches)
        known = known.union(fact for branch in branches for fact in branch.makes)
    outcomes = (fact for fact in known if fact.kind in (Kind.FLAG, Kind.REFER))
    return Trace(tuple(sorted(fired)), tuple(sorted(outcomes)))


# ---- JSON, for the smoke test's child process -----------------------------------------------------


def to_json(chain: Chain) -> list[dict[str, Any]]:
    def facts(items: Iterable[Fact]) -> list[list[str]]:
        return [[item.kind.value, item.id] for item in items]

    return [
        {
            "branches": [
                {"name": item.name, "rule": item.rule_id, "needs": facts(item.needs), "makes": facts(item.makes)}
                for item in stratum.branches
            ],
            "denied": facts(stratum.denied),
        }
        for stratum in chain.strata
    ]


def from_json(document: Sequence[Mapping[str, Any]]) -> Chain:
    """The chain without its tests, which a matcher never sees."""

    def facts(items: Iterable[Sequence[str]]) -> tuple[Fact, ...]:
        return tuple(Fact(Kind(kind), name) for kind, name in items)

    return Chain(
        tuple(
            Stratum(
                tuple(
                    Branch(item["name"], item["rule"], facts(item["needs"]), facts(item["makes"]))
                    for item in stratum["branches"]
                ),
                facts(stratum["denied"]),
            )
            for stratum in document
        )
    )
