"""The hardened driver of durable-rules, and the only importer of it.

durable_rules 2.0.28 is a Rete engine in C that dies, hangs or errs in many ways (its Host, threads, strings, negation,
numbers, long-lived sessions). The driver keeps to the narrow path that was found sound:

  * the C functions are called directly: no Host, no closure, no thread, no update of state;
  * facts and patterns are small whole numbers that stand for our facts: no text of an author or client enters C;
  * a pattern is `kind`, then `key`, then the term `one`, which is always true: the engine reads beyond its buffer when
    the last term of a pattern that looks at an earlier fact is false;
  * no or, no negation, no arithmetic, at most 16 facts in a branch, at most 200 keys under a kind (512 first
    conditions make it loop for ever), at most 250 branches on one fact (256 overflow its heap);
  * one session at a time in a ruleset, under a lock, opened by a sentinel rule that fires first (deleting a session in
    which no rule ever fired frees a wild pointer) and deleted afterwards, whatever happens;
  * message ids are chosen so that their 32-bit hashes differ, because the engine never compares the ids themselves;
  * more firings than there are branches stop the session.

Where the extension is not installed, `available` is False and the reference matcher decides alone.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from forms.sheets import Text
from rules import reference
from rules.chain import Branch, Chain, Fact, Kind, Stratum, Trace, from_json, run_strata, to_json

try:
    import durable_rules_engine as _engine
except ImportError:
    _engine = None

#: True where durable-rules is installed and its extension loads.
available: bool = _engine is not None

#: Keys under one kind: each is looked up along a chain of 512 places.
_KEYS_PER_KIND = 200
#: The engine's list of rules has 4,096 places.
_MOST_BRANCHES = 4_000

_SESSION = "e"
_SENTINEL_KIND = 0
_SENTINEL_RULE = "s"

_OK, _NOT_HANDLED = 0, 1


class DriverFailure(Exception):
    """durable-rules did not do what it was asked. What the session came to is not to be used."""


@functools.cache
def version() -> str:
    """The installed version of durable_rules; empty where it is not available."""
    return importlib.metadata.version("durable_rules") if available else ""


class _Engine(Protocol):
    """The functions of the C extension that the driver calls."""

    def create_ruleset(self, name: str, rules: str) -> int: ...
    def delete_ruleset(self, handle: int) -> None: ...
    def assert_fact(self, handle: int, fact: str) -> tuple[int, int]: ...
    def start_action_for_state(self, handle: int, state: int) -> tuple[str, str] | None: ...
    def complete_and_start_action(self, handle: int, state: int) -> str | None: ...
    def delete_state(self, handle: int, sid: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Message:
    """A fact as the engine knows it."""

    id: str
    kind: int
    key: int

    @property
    def text(self) -> str:
        return json.dumps({"sid": _SESSION, "id": self.id, "kind": self.kind, "key": self.key, "one": 1})


_SENTINEL = _Message("s0", _SENTINEL_KIND, 0)


class Driver:
    """One chain, loaded into the engine: a ruleset for each stratum. They go when the driver goes, or by close()."""

    def __init__(self, chain: Chain) -> None:
        if not available:
            raise DriverFailure("durable-rules is not installed")
        self.chain = chain
        self._lock = threading.Lock()
        self._broken = False
        handles: list[int] = []
        # Before anything is loaded: a ruleset that fails half-way leaves none behind.
        self._dispose = weakref.finalize(self, _delete_rulesets, handles)
        self._strata = tuple(_load(stratum, handles) for stratum in chain.strata)

    def close(self) -> None:
        """Give the rulesets back. Sessions have been deleted before. Running it twice is harmless."""
        with self._lock:
            self._broken = True
            self._dispose()

    def match(self, chain: Chain, facts: frozenset[Fact]) -> Trace:
        """Everything that follows from the facts; a Matcher. Raises DriverFailure."""
        if chain != self.chain:
            raise DriverFailure("the driver was loaded with another chain")
        with self._lock:
            if self._broken:
                raise DriverFailure("the driver is closed, or a session of it could not be deleted")
            try:
                return run_strata(chain, facts, lambda place, known: self._strata[place].run(known))
            except _SessionLost as lost:
                self._broken = True
                raise DriverFailure(str(lost)) from lost


class _SessionLost(Exception):
    """A session was opened, but it is not safe to delete it. The driver must not be used again."""


def _delete_rulesets(handles: list[int]) -> None:
    while handles:
        _c().delete_ruleset(handles.pop())


def _c() -> _Engine:
    return cast(_Engine, _engine)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A stratum in the engine: how facts are told, and which branch each of its rules stands for."""

    handle: int
    messages: Mapping[Fact, _Message]
    rules: Mapping[str, Branch]
    always: tuple[Branch, ...]

    def run(self, facts: frozenset[Fact]) -> list[Branch]:
        fired = list(self.always)
        agenda = {*facts, *(fact for branch in fired for fact in branch.makes)}
        told: set[Fact] = set()
        self._open()
        try:
            while fresh := sorted((agenda & self.messages.keys()) - told):
                told.update(fresh)
                firing = self._tell(fresh)
                fired.extend(firing)
                agenda = {fact for branch in firing for fact in branch.makes}
        except Exception as error:
            # Whatever C or JSON complain of, the session is worth nothing.
            raise DriverFailure(f"durable-rules: {error!r}") from error
        finally:
            self._close()
        return fired

    def _open(self) -> None:
        """Open the session: the sentinel fires, and from now on the session may be deleted."""
        try:
            names = [name for name, _ in self._firings([_SENTINEL])]
        except Exception as error:
            raise _SessionLost(f"the sentinel failed: {error!r}") from error
        if names != [_SENTINEL_RULE]:
            raise _SessionLost(f"the sentinel fired {names}")

    def _close(self) -> None:
        try:
            _c().delete_state(self.handle, _SESSION)
        except Exception as error:
            raise _SessionLost(f"the session could not be deleted: {error!r}") from error

    def _tell(self, facts: Sequence[Fact]) -> list[Branch]:
        found = []
        for name, ids in self._firings([self.messages[fact] for fact in facts]):
            branch = self.rules[name]
            if ids != {self.messages[fact].id for fact in branch.needs}:
                raise DriverFailure(f"branch {branch.name} fired on other facts than its own")
            found.append(branch)
        return found

    def _firings(self, messages: Iterable[_Message]) -> Iterator[tuple[str, set[str]]]:
        """Tell the messages, then drain: the rules that fire, each with the ids of the messages it saw."""
        state = 0
        for message in messages:
            result, state = _c().assert_fact(self.handle, message.text)
            if result not in (_OK, _NOT_HANDLED):
                raise DriverFailure(f"the engine answered {result} to a fact")
        started = _c().start_action_for_state(self.handle, state)
        text = started[1] if started else None
        budget = len(self.rules) + 1
        while text is not None:
            budget -= 1
            if budget < 0:
                raise DriverFailure("more firings than branches")
            ((name, seen),) = json.loads(text).items()
            yield name, {message["id"] for message in seen.values()}
            text = _c().complete_and_start_action(self.handle, state)


def _load(stratum: Stratum, handles: list[int]) -> _Loaded:
    if len(stratum.branches) > _MOST_BRANCHES:
        raise DriverFailure(f"{len(stratum.branches)} branches in one stratum; the engine holds {_MOST_BRANCHES}")
    messages = _messages(stratum)
    rules = {f"b{number}": branch for number, branch in enumerate(stratum.branches) if branch.needs}
    document: dict[str, Any] = {_SENTINEL_RULE: {"all": [{"a0": _terms(_SENTINEL)}]}}
    for name, branch in rules.items():
        document[name] = {"all": [_pattern(place, messages[fact]) for place, fact in enumerate(branch.needs)]}
    try:
        handle = _c().create_ruleset("chain", json.dumps(document))
    except Exception as error:
        raise DriverFailure(f"durable-rules refused the chain: {error!r}") from error
    handles.append(handle)
    always = tuple(branch for branch in stratum.branches if not branch.needs)
    return _Loaded(handle, messages, rules, always)


def _pattern(place: int, message: _Message) -> dict[str, Any]:
    terms = _terms(message)
    if place:
        terms["$and"].append({"one": {"a0": "one"}})
    return {f"a{place}": terms}


def _terms(message: _Message) -> dict[str, Any]:
    return {"$and": [{"kind": message.kind}, {"key": message.key}]}


def _messages(stratum: Stratum) -> dict[Fact, _Message]:
    """A number for each fact that a branch waits for, in canonical order."""
    used = {_fnv(f"sid-{_SESSION}"), _fnv(_SENTINEL.id)}
    found = {}
    for number, fact in enumerate(sorted({fact for branch in stratum.branches for fact in branch.needs})):
        name = f"f{number}"
        while _fnv(name) in used:
            name += "x"
        used.add(_fnv(name))
        kind, key = divmod(number, _KEYS_PER_KIND)
        found[fact] = _Message(name, kind + 1, key)
    return found


def _fnv(text: str) -> int:
    """FNV-1a, 32 bits: how the engine tells messages apart."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return value


# ---- the smoke test, in a child process -----------------------------------------------------------


def smoke_test(chains: Sequence[Chain], *, timeout: float = 30) -> Text | None:
    """Load chains into the engine in a child process and run them there; what is wrong, or None.

    A chain on which the engine would hang or die shows it here, before it is published. `timeout` in seconds.
    Without the extension there is nothing to test.
    """
    if not available or not any(chain.strata for chain in chains):
        return None
    try:
        done = subprocess.run(
            [sys.executable, "-m", "rules.durable"],
            input=json.dumps([to_json(chain) for chain in chains]),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent.parent), *sys.path])},
        )
    except subprocess.TimeoutExpired:
        return Text(
            f"durable-rules không trả lời sau {timeout:g} giây.", f"durable-rules did not answer within {timeout:g} s."
        )
    if done.returncode == 0:
        return None
    said = done.stderr.strip().splitlines()[-1:] or [f"exit {done.returncode}"]
    return Text(f"durable-rules không chạy được: {said[0]}", f"durable-rules failed: {said[0]}")


def _smoke(chains: Sequence[Chain]) -> None:
    """Each chain with every fact, with none, and with each fact alone, beside the reference matcher."""
    for chain in chains:
        driver = Driver(chain)
        facts = {fact for branch in chain.branches for fact in branch.needs if fact.kind is not Kind.ABSENT}
        for known in (frozenset(facts), frozenset[Fact](), *(frozenset({fact}) for fact in sorted(facts))):
            if driver.match(chain, known) != reference.match(chain, known):
                raise DriverFailure("durable-rules and the reference matcher differ")
        driver.close()


if __name__ == "__main__":
    _smoke([from_json(document) for document in json.load(sys.stdin)])
