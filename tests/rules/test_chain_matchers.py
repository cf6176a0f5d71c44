"""durable-rules behind its driver, beside the reference matcher: the same chains, the same facts."""

from __future__ import annotations

import gc
import random
import resource
import threading
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import durable, reference
from rules.chain import (
    MAX_BRANCHES_PER_FACT,
    MAX_PATTERNS,
    Branch,
    Chain,
    ChainingRule,
    CircleThroughNot,
    Fact,
    Kind,
    Literally,
    Stratum,
    TooWide,
    build,
    from_json,
    to_json,
)


def needs_durable(test: Callable[..., None]) -> Callable[..., None]:

    marked: Callable[..., None] = pytest.mark.durable(test)
    return marked


def flag(code: str) -> Fact:
    return Fact(Kind.FLAG, code)


def refer(service: str) -> Fact:
    return Fact(Kind.REFER, service)


def rule(rule_id: str, *ways: set[Literally], makes: set[Fact]) -> ChainingRule:
    return ChainingRule(rule_id, tuple(frozenset(way) for way in ways), frozenset(makes))


def yes(of: Fact | str) -> Literally:
    return Literally(of, True)


def no(of: Fact | str) -> Literally:
    return Literally(of, False)


OUTCOMES = [flag(f"f{n}") for n in range(6)] + [refer(f"s{n}") for n in range(4)]
literals = st.builds(Literally, st.sampled_from([*OUTCOMES, "${a} > 1", "${b} = 'x'"]), st.booleans())
ways = st.lists(st.frozensets(literals, min_size=1, max_size=5), min_size=1, max_size=4)
rules_strategy = st.lists(
    st.tuples(ways, st.frozensets(st.sampled_from(OUTCOMES), min_size=1, max_size=3)), min_size=1, max_size=12
)


def chain_of(parts: list[tuple[list[frozenset[Literally]], frozenset[Fact]]]) -> Chain | None:
    """A chain, or None where the random rules deny in a circle."""
    try:
        return build(ChainingRule(f"R{n}", tuple(w), makes) for n, (w, makes) in enumerate(parts))
    except CircleThroughNot:
        return None


@needs_durable
@settings(max_examples=300, deadline=None)
@given(parts=rules_strategy, data=st.data())
def test_durable_rules_and_the_reference_agree_on_random_chains(
    parts: list[tuple[list[frozenset[Literally]], frozenset[Fact]]], data: st.DataObject
):
    chain = chain_of(parts)
    if chain is None:
        return
    driver = durable.Driver(chain)
    hits = [fact for branch in chain.branches for fact in branch.needs if fact.kind is Kind.HIT]
    for _ in range(3):
        facts = data.draw(st.frozensets(st.sampled_from([*OUTCOMES, *hits])))
        assert driver.match(chain, facts) == reference.match(chain, facts)
    driver.close()


@settings(max_examples=200, deadline=None)
@given(parts=rules_strategy, seed=st.integers(0, 10_000))
def test_a_chain_does_not_depend_on_the_order_of_its_rows(
    parts: list[tuple[list[frozenset[Literally]], frozenset[Fact]]], seed: int
):
    try:
        rows = [ChainingRule(f"R{n}", tuple(w), makes) for n, (w, makes) in enumerate(parts)]
        chain = build(rows)
    except CircleThroughNot:
        return
    random.Random(seed).shuffle(rows)
    assert build(rows) == chain


def test_a_denied_outcome_is_decided_after_all_that_could_bring_it_about():
    chain = build(
        [
            rule("C1", {no(flag("b"))}, makes={flag("c")}),
            rule("C2", {yes(flag("a"))}, makes={flag("b")}),
        ]
    )
    assert [[branch.rule_id for branch in stratum.branches] for stratum in chain.strata] == [["C2"], ["C1"]]
    assert reference.match(chain, frozenset({flag("a")})).fired == ("C2#1",)
    assert reference.match(chain, frozenset()).fired == ("C1#1",)


def test_a_circle_through_not_names_its_rules():
    with pytest.raises(CircleThroughNot) as raised:
        build(
            [
                rule("C1", {no(flag("b"))}, makes={flag("a")}),
                rule("C2", {yes(flag("a"))}, makes={flag("b")}),
            ]
        )
    assert set(raised.value.rule_ids) == {"C1", "C2"}


def test_a_circle_without_not_only_fires_when_something_outside_starts_it():
    chain = build(
        [
            rule("C1", {yes(flag("b"))}, makes={flag("a")}),
            rule("C2", {yes(flag("a"))}, makes={flag("b")}),
        ]
    )
    assert reference.match(chain, frozenset()).fired == ()
    assert reference.match(chain, frozenset({flag("a")})).fired == ("C1#1", "C2#1")


def test_a_condition_that_joins_too_many_outcomes_is_refused():
    wide = rule("C1", {yes(flag(f"x{n}")) for n in range(MAX_PATTERNS + 1)}, makes={flag("z")})
    with pytest.raises(TooWide):
        build([wide])


def test_too_many_conditions_on_one_outcome_are_refused():
    rows = [rule(f"C{n}", {yes(flag("a"))}, makes={flag("z")}) for n in range(MAX_BRANCHES_PER_FACT + 1)]
    with pytest.raises(TooWide):
        build(rows)


def test_a_chain_comes_back_from_json():
    chain = build([rule("C1", {yes(flag("a")), no(refer("b"))}, {yes(flag("c"))}, makes={flag("z"), refer("y")})])
    assert from_json(to_json(chain)) == chain


def widest() -> list[ChainingRule]:
    """250 rules, at every limit at once: 16 facts in a branch, 250 branches on one fact, over 1,000 facts."""
    return [
        rule(
            f"C{n}",
            {yes(flag("all")), *(yes(flag(f"x{n}_{k}")) for k in range(MAX_PATTERNS - 1))},
            makes={flag(f"out{n}")},
        )
        for n in range(MAX_BRANCHES_PER_FACT)
    ]


@needs_durable
def test_the_widest_chain_that_is_allowed_runs():
    chain = build(widest())
    driver = durable.Driver(chain)
    facts = frozenset(fact for branch in chain.branches for fact in branch.needs)
    trace = driver.match(chain, facts)
    assert len(trace.fired) == MAX_BRANCHES_PER_FACT
    assert trace == reference.match(chain, facts)
    driver.close()


@needs_durable
def test_the_deepest_chain_that_is_allowed_runs():
    codes = [flag(f"x{n:03}") for n in range(251)]
    chain = build([rule(f"C{n:03}", {yes(a)}, makes={b}) for n, (a, b) in enumerate(pairwise(codes))])
    driver = durable.Driver(chain)
    assert len(driver.match(chain, frozenset({codes[0]})).fired) == 250
    driver.close()


@needs_durable
def test_a_hundred_strata_run_one_after_the_other():
    codes = [flag(f"x{n:03}") for n in range(101)]
    chain = build([rule(f"C{n:03}", {no(a)}, makes={b}) for n, (a, b) in enumerate(pairwise(codes))])
    assert len(chain.strata) == 100
    driver = durable.Driver(chain)
    assert driver.match(chain, frozenset()) == reference.match(chain, frozenset())
    driver.close()


@needs_durable
def test_a_closed_driver_refuses_and_closing_twice_is_harmless():
    chain = build([rule("C1", {yes(flag("a"))}, makes={flag("b")})])
    driver = durable.Driver(chain)
    driver.close()
    driver.close()
    with pytest.raises(durable.DriverFailure):
        driver.match(chain, frozenset())


@needs_durable
def test_a_driver_refuses_another_chain():
    chain = build([rule("C1", {yes(flag("a"))}, makes={flag("b")})])
    other = build([rule("C1", {yes(flag("a"))}, makes={flag("c")})])
    with pytest.raises(durable.DriverFailure):
        durable.Driver(chain).match(other, frozenset())


@needs_durable
def test_reloading_gives_the_memory_back():
    chain = build(widest()[:60])
    facts = frozenset(fact for branch in chain.branches for fact in branch.needs)

    def reload(times: int) -> None:
        for _ in range(times):
            driver = durable.Driver(chain)
            driver.match(chain, facts)
            del driver  # Disposed by going, without close().
            gc.collect()

    reload(3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reload(15)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 10_000  # Kilobytes. Never deleted, fifteen of these rulesets cost over 100 MB.


@needs_durable
def test_many_threads_may_ask_one_driver():
    chain = build([rule("C1", {yes(flag("a")), yes(flag("b"))}, makes={flag("c")})])
    driver = durable.Driver(chain)
    wrong: list[object] = []

    def ask(seed: int) -> None:
        chosen = random.Random(seed)
        for _ in range(100):
            facts = frozenset(fact for fact in (flag("a"), flag("b")) if chosen.random() < 0.5)
            if driver.match(chain, facts) != reference.match(chain, facts):
                wrong.append(facts)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    driver.close()


@needs_durable
def test_the_smoke_test_passes_what_runs():
    assert durable.smoke_test([build(widest()[:20])]) is None


@needs_durable
def test_the_smoke_test_says_what_does_not_run():
    needs = tuple(flag(f"x{n:02}") for n in range(MAX_PATTERNS + 1))
    too_wide = Chain((Stratum((Branch("C1#1", "C1", needs, (flag("z"),)),)),))
    problem = durable.smoke_test([too_wide])
    assert problem is not None
    assert "304" in problem.en


@needs_durable
def test_the_smoke_test_does_not_wait_for_ever():
    problem = durable.smoke_test([build(widest())], timeout=0.001)
    assert problem is not None
    assert "0.001" in problem.en
