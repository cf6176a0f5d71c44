"""ketnoi device: give a user's phone its server URL, list and revoke."""

from __future__ import annotations

import argparse
import sys

from sqlalchemy import select

from service import accounts, clock, installation
from service.accounts import AccountProblem
from service.installation import Installation
from service.settings import Settings, from_environment
from service.tables import Device, User


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="prints the server URL with its token; it is shown once")
    add.add_argument("username")
    add.add_argument("--label", default="", help="which phone this is")
    revoke = actions.add_parser("revoke", help="the phone can neither list nor send from now on")
    revoke.add_argument("device", help="its id, as `ketnoi device list` shows it")
    actions.add_parser("list", help="every phone")


def run(args: argparse.Namespace) -> int:
    settings = from_environment()
    installation.prepare(settings)
    with installation.opened(settings) as place:
        try:
            {"add": _add, "revoke": _revoke, "list": _list}[args.action](place, args)
        except AccountProblem as problem:
            print(problem.problem.to(args.language), file=sys.stderr)
            return 1
    return 0


def server_url(settings: Settings, token: str) -> str:
    """What is typed into Collect as the server's URL."""
    base = settings.public_url or f"http://{settings.host}:{settings.port}"
    return f"{base}/key/{token}"


def _add(place: Installation, args: argparse.Namespace) -> None:
    with place.sessions.begin() as session:
        user = accounts.enabled_user(session, args.username)
        if user is None:
            raise AccountProblem(accounts.NO_SUCH_USER)
        token = accounts.add_device(session, user, args.label, now=clock.now())
    print(server_url(place.settings, token))


def _revoke(place: Installation, args: argparse.Namespace) -> None:
    with place.sessions.begin() as session:
        device = next((item for item in session.scalars(select(Device)) if str(item.id) == args.device), None)
        if device is None:
            raise AccountProblem(accounts.NO_SUCH_DEVICE)
        accounts.revoke_device(session, device, now=clock.now())


def _list(place: Installation, args: argparse.Namespace) -> None:
    del args
    with place.reading() as session:
        rows = session.execute(
            select(Device, User.username).join(User, User.id == Device.user_id).order_by(User.username)
        )
        for device, username in rows:
            seen = device.last_seen_at.isoformat(timespec="minutes") if device.last_seen_at else "-"
            state = "revoked" if device.revoked_at else "active"
            print("\t".join((str(device.id), username, device.label, state, seen)))
