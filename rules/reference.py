"""The plain matcher: pure Python, obviously correct. Oracle in the tests, beside durable-rules on live decisions, and
alone where durable-rules cannot be installed."""

from __future__ import annotations

from collections.abc import Iterable

from rules.chain import Branch, Chain, Fact, Stratum, Trace, run_strata

VERSION = "1"


def match(chain: Chain, facts: frozenset[Fact]) -> Trace:
    """Everything that follows from the facts."""
    return run_strata(chain, facts, lambda place, known: _fire(chain.strata[place], known))


def _fire(stratum: Stratum, facts: frozenset[Fact]) -> Iterable[Branch]:
    """The branches of a stratum that fire. Each counts down the facts it still waits for, so a fact is seen once."""
    missing = {branch.name: len(branch.needs) for branch in stratum.branches}
    waiting: dict[Fact, list[Branch]] = {}
    for branch in stratum.branches:
        for fact in branch.needs:
            waiting.setdefault(fact, []).append(branch)
    fired = [branch for branch in stratum.branches if not branch.needs]
    agenda = [*sorted(facts), *(fact for branch in fired for fact in branch.makes)]
    seen: set[Fact] = set()
    while agenda:
        fact = agenda.pop()
        if fact in seen:
            continue
        seen.add(fact)
        for branch in waiting.get(fact, ()):
            missing[branch.name] -= 1
            if missing[branch.name] == 0:
                fired.append(branch)
                agenda.extend(branch.makes)
    return fired
