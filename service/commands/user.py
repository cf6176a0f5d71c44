"""ketnoi user: add, list and disable users, set passwords."""

from __future__ import annotations

import argparse
import getpass
import secrets
import sys

from sqlalchemy import select
from sqlalchemy.orm import selectinload

from service import accounts, clock, installation
from service.accounts import AccountProblem
from service.installation import Installation
from service.settings import from_environment
from service.tables import Role, User


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="a new user; without --ask a password is made and printed once")
    add.add_argument("username")
    add.add_argument("--role", required=True, choices=[role.value for role in Role])
    add.add_argument("--code", help="what screens show in place of a name (default: the user name)")
    add.add_argument("--area", action="append", default=[], metavar="CODE", help="may be repeated; none: sees nothing")
    add.add_argument("--provider", metavar="CODE", help="of the provider that this user works for")
    add.add_argument("--compartment", action="append", default=[], help="hiv, mental_health, offending, notes")
    add.add_argument("--ask", action="store_true", help="ask for the password")
    password = actions.add_parser("password", help="a new password")
    password.add_argument("username")
    password.add_argument("--ask", action="store_true", help="ask for it")
    disable = actions.add_parser("disable", help="ends sessions and phones at once")
    disable.add_argument("username")
    actions.add_parser("list", help="everybody")


def run(args: argparse.Namespace) -> int:
    settings = from_environment()
    installation.prepare(settings)
    with installation.opened(settings) as place:
        try:
            {"add": _add, "password": _password, "disable": _disable, "list": _list}[args.action](place, args)
        except AccountProblem as problem:
            print(problem.problem.to(args.language), file=sys.stderr)
            return 1
    return 0


def _add(place: Installation, args: argparse.Namespace) -> None:
    password = _new_password(args.ask)
    with place.sessions.begin() as session:
        accounts.create_user(
            session,
            place.vault,
            username=args.username,
            password=password,
            role=Role(args.role),
            now=clock.now(),
            code=args.code,
            areas=args.area,
            provider_code=args.provider,
            compartments=args.compartment,
        )
    if not args.ask:
        print(password)


def _password(place: Installation, args: argparse.Namespace) -> None:
    password = _new_password(args.ask)
    with place.sessions.begin() as session:
        user = accounts.enabled_user(session, args.username)
        if user is None:
            raise AccountProblem(accounts.NO_SUCH_USER)
        accounts.set_password(session, place.vault, user, password, now=clock.now())
    if not args.ask:
        print(password)


def _disable(place: Installation, args: argparse.Namespace) -> None:
    with place.sessions.begin() as session:
        user = accounts.enabled_user(session, args.username)
        if user is None:
            raise AccountProblem(accounts.NO_SUCH_USER)
        accounts.disable(session, user, now=clock.now())


def _list(place: Installation, args: argparse.Namespace) -> None:
    del args
    with place.reading() as session:
        for user in session.scalars(select(User).options(selectinload(User.areas)).order_by(User.username)):
            areas = " ".join(area.area_code for area in user.areas)
            state = "disabled" if user.disabled_at else "active"
            print("\t".join((user.username, user.role.value, user.code, state, areas, " ".join(user.compartments))))


def _new_password(ask: bool) -> str:
    return getpass.getpass() if ask else secrets.token_urlsafe(12)
