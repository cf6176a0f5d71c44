"""ketnoi: a route for the terminal. Each command parses, calls one function, prints; problems go to stderr, exit 1."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from forms.sheets import SheetErrors
from service.problems import Mendable


class Command(Protocol):
    """A module of service.commands."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> int: ...


#: Name → what it does. Modules are loaded only when called, so that `ketnoi check` starts without database or web.
COMMANDS = {
    "demo": "the shipped programme with synthetic people, ready to try",
    "serve": "the server, with its worker beside it",
    "worker": "another worker for the same database",
    "publish": "publish forms, rules and programme workbooks",
    "check": "check workbooks; needs no database",
    "evaluate": "decide one set of answers; needs no database",
    "expression": "show what an expression comes to; needs no database",
    "user": "add, list and disable users, set passwords",
    "device": "give a user's phone its server URL, list and revoke",
    "doctor": "say whether everything that this installation needs is there",
}


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser(argv).parse_args(argv)
    command = _load(args.command)
    try:
        return command.run(args)
    except SheetErrors as error:
        for finding in error.findings:
            print(finding.describe(args.language), file=sys.stderr)
        return 1
    except Mendable as problem:
        print(problem, file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1


def _parser(argv: Sequence[str] | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ketnoi", description="Kết Nối: forms in, referrals out.")
    parser.add_argument("--language", choices=("vi", "en"), default="vi", help="of messages (default: vi)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    given = list(sys.argv[1:] if argv is None else argv)
    for name, words in COMMANDS.items():
        sub = commands.add_parser(name, help=words, description=words)
        sub.add_argument("--language", choices=("vi", "en"), default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        if name in given:
            _load(name).add_arguments(sub)
    return parser


def _load(name: str) -> Command:
    return cast(Command, importlib.import_module(f"service.commands.{name}"))


if __name__ == "__main__":
    sys.exit(main())
