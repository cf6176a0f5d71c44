"""Rules tried before they are put in force: in a child process that may crash or hang without taking the server along.

The chaining engine is C code that some rulebooks can kill (see rules/durable.py). It never runs in the web process.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

from forms.definition import FormDefinition
from forms.sheets import Cell, Finding, Level, Text
from rules import check, examples
from rules.model import Rulebook
from rules.programme import Programme

#: Seconds. A rulebook of 1,000 rules with 2,000 examples takes a small part of it.
TIMEOUT = 120.0


@dataclass(frozen=True)
class Case:
    """A rulebook against forms and programme; with its own examples where `run` is set."""

    rulebook: Rulebook
    forms: tuple[FormDefinition, ...]
    programme: Programme | None
    file: str
    run: bool = False


def findings(cases: Sequence[Case], *, timeout: float = TIMEOUT) -> list[tuple[Finding, ...]]:
    """What there is to say about each case, in order. A child that dies is an error on each."""
    context = multiprocessing.get_context("spawn")
    hears, tells = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(tells, list(cases)), name="ketnoi-trial")
    process.start()
    tells.close()
    try:
        if hears.poll(timeout):
            found: list[tuple[Finding, ...]] = hears.recv()
            return found
        return [(_died(case.file),) for case in cases]
    except EOFError:
        return [(_died(case.file),) for case in cases]
    finally:
        hears.close()
        process.kill()
        process.join()


def _child(tells: Connection, cases: Sequence[Case]) -> None:
    tells.send([_found(case) for case in cases])
    tells.close()


def _found(case: Case) -> tuple[Finding, ...]:
    found = check.check(case.rulebook, case.forms, case.programme)
    if case.run and not any(item.level is Level.ERROR for item in found):
        results = examples.run(case.rulebook, case.forms, case.programme)
        found = (*found, *(_red(item) for item in results if not (item.passed or item.skipped)))
    return tuple(item if item.file else replace(item, file=case.file) for item in found)


def _red(result: examples.ExampleResult) -> Finding:
    cure = Text("Sửa luật hoặc sửa ví dụ cho khớp nhau.", "Correct the rule or the example, so that they agree.")
    return Finding("rules.test-red", Level.ERROR, result.cell, result.problem, cure)


def _died(file: str) -> Finding:
    return Finding(
        "rules.trial-died",
        Level.ERROR,
        Cell("rules"),
        Text(
            "Bộ luật làm bộ suy diễn dừng đột ngột hoặc chạy quá lâu khi thử.",
            "The rules made the engine crash, or run too long, when they were tried.",
        ),
        Text(
            "Bỏ bớt các luật dùng has-flag hoặc refers-to, rồi thử lại; báo cho quản trị.",
            "Take away some of the rules that use has-flag or refers-to, and try again; tell the administrator.",
        ),
        file,
    )
