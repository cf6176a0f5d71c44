"""The shipped programme with synthetic people: what `make demo` shows.

The people's forms go through the code that receives from phones and the code that decides, at the moments at which
they would have come.
"""

from __future__ import annotations

import io
import json
import random
import secrets
import string
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import openpyxl
from sqlalchemy import select

import forms
import rules
from forms.answers import from_given
from forms.answers import write as write_answers
from forms.definition import FormDefinition
from forms.fill import fill
from forms.sheets import SheetErrors
from integrations.odk.submission import read_envelope
from service import accounts, flags, follow_ups, processing, publishing, referrals, synthetic
from service.access import viewer_of
from service.desk import Desk
from service.installation import Installation
from service.publishing import Published
from service.submissions import Incoming, Writer
from service.synthetic import Filled
from service.tables import Flag, ProgrammeVersion, Referral, ReferralState, Role, User

_FORMS = Path(forms.__file__).parent / "xlsform"
_SHEETS = Path(rules.__file__).parent / "sheets"

#: Where the demo's logins are kept, so that a second start can print them again. A demo's secret, not a programme's.
_LOGINS = "demo-logins.json"

#: Days after which the demo's supervisor has looked at what the rules proposed.
_REVIEWED_AFTER = 5

_ALPHABET = string.ascii_lowercase.replace("l", "").replace("o", "") + "23456789"


@dataclass(frozen=True, slots=True)
class Logins:
    """What `ketnoi demo` prints. `token` is that of the enumerator's phone."""

    password: str
    token: str
    names: tuple[str, ...] = ("enumerator", "supervisor", "provider", "staff", "admin")


@dataclass(frozen=True, slots=True)
class _Account:
    username: str
    role: Role
    code: str
    areas: tuple[str, ...] = ()
    provider: str | None = None
    compartments: tuple[str, ...] = ()


_RIGHTS = ("hiv", "mental_health", "offending")
_ACCOUNTS = (
    _Account("enumerator", Role.ENUMERATOR, "TV-03", ("LB", "NTL")),
    _Account("supervisor", Role.SUPERVISOR, "GS-02", ("LB", "NTL"), compartments=_RIGHTS),
    _Account("provider", Role.PROVIDER, "CS-MMT-02", provider="CS-MMT-02"),
    _Account("staff", Role.STAFF, "CT-01"),
    _Account("admin", Role.ADMIN, "QT-01"),
    # Colleagues who appear in the data; nobody is told their passwords.
    _Account("tv05", Role.ENUMERATOR, "TV-05", ("LB",)),
    _Account("tv07", Role.ENUMERATOR, "TV-07", ("NTL",)),
    _Account("tv09", Role.ENUMERATOR, "TV-09", ("NTL",)),
)
_WORKERS = {"LB": ("enumerator", "tv05"), "NTL": ("enumerator", "tv07", "tv09")}


def known_logins(data_dir: Path) -> Logins | None:
    """The logins of a demo that has been set up; None where there is none yet."""
    try:
        kept = json.loads((data_dir / _LOGINS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Logins(kept["password"], kept["token"], tuple(kept["names"]))


def set_up(place: Installation, *, now: datetime) -> Logins:
    """Publish the shipped programme, make the accounts, and send the people's forms up to yesterday.

    Raises SheetErrors where a shipped workbook does not pass its own checks. A start that was broken off in the
    middle is taken up again: what is published, made or sent already stays.
    """
    yesterday = now.astimezone(place.settings.zone).date() - timedelta(days=1)
    _publish(place, yesterday, now)
    logins = _accounts(place, now)
    _send_people(place, yesterday)
    _review(place, now)
    with place.sessions.begin() as session:
        follow_ups.advance(session, now.astimezone(place.settings.zone).date())
    path = place.settings.data_dir / _LOGINS
    path.touch(mode=0o600)
    path.write_text(json.dumps(asdict(logins)), encoding="utf-8")
    return logins


# ---- the programme --------------------------------------------------------------------------------


def _publish(place: Installation, yesterday: date, now: datetime) -> None:
    java = place.settings.java
    for path in sorted(_FORMS.glob("*.xlsx")):
        with place.sessions.begin() as session:
            _require(publishing.publish_form(session, path.read_bytes(), path.name, by=None, now=now, java=java))
    with place.sessions.begin() as session:
        if session.scalars(select(ProgrammeVersion.id)).first() is None:
            plan = _moved((_SHEETS / "programme.xlsx").read_bytes(), yesterday - synthetic.LAST_DAY)
            _require(publishing.publish_programme(session, plan, "programme.xlsx", by=None, now=now))
    with place.sessions.begin() as session:
        rulebook = (_SHEETS / "referral.xlsx").read_bytes()
        _require(publishing.publish_rules(session, rulebook, "referral.xlsx", by=None, now=now))


def _require(published: Published) -> None:
    if published.id is None:
        raise SheetErrors(published.findings)


def _moved(workbook: bytes, by: timedelta) -> bytes:
    """The programme with the dates of its areas moved as the people's are: the pilot's wards ended in 2025."""
    book = openpyxl.load_workbook(io.BytesIO(workbook))
    sheet = book["areas"]
    columns = [cell.column for cell in sheet[1] if cell.value in ("valid_from", "valid_to")]
    for row in range(2, sheet.max_row + 1):
        for column in columns:
            cell = sheet.cell(row, column)
            if cell.value:
                cell.value = (date.fromisoformat(str(cell.value)[:10]) + by).isoformat()
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def _accounts(place: Installation, now: datetime) -> Logins:
    password = "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(3))
    printed = Logins(password, "").names
    with place.sessions.begin() as session:
        for item in _ACCOUNTS:
            user = session.scalars(select(User).where(User.username == item.username)).one_or_none()
            if user is not None:
                accounts.set_password(session, place.vault, user, password, now=now)
                continue
            accounts.create_user(
                session,
                place.vault,
                username=item.username,
                password=password if item.username in printed else secrets.token_urlsafe(24),
                role=item.role,
                now=now,
                code=item.code,
                areas=item.areas,
                provider_code=item.provider,
                compartments=item.compartments,
            )
        phone = session.scalars(select(User).where(User.username == "enumerator")).one()
        token = accounts.add_device(session, phone, "demo", now=now)
    return Logins(password, token)


# ---- the people -----------------------------------------------------------------------------------


def _send_people(place: Installation, yesterday: date) -> None:
    zone = place.settings.zone
    people = synthetic.recent_people(last_day=yesterday, zone=zone, workers=_WORKERS)
    draw = random.Random(yesterday.toordinal())  # noqa: S311 - the same day sends the same instances
    with place.reading() as session:
        published = {form.form_id: form for form in publishing.accepted_forms(session)}
        senders = {user.username: user.id for user in session.scalars(select(User))}
    writer = Writer(place.engine, place.vault, place.settings.media_dir)
    desk = Desk(place.vault)
    try:
        for item in people:
            instance_id = f"uuid:{uuid.UUID(int=draw.getrandbits(128), version=4)}"
            xml = as_xml(published[item.form], item, instance_id)
            incoming = Incoming(read_envelope(xml), xml, (), False, senders[item.sender], None)
            received = writer.receive(incoming, item.received_at)
            with place.sessions.begin() as session:
                processing.process(session, [received.submission_id], now=item.received_at, desk=desk)
    finally:
        writer.close()


def as_xml(form: FormDefinition, item: Filled, instance_id: str) -> bytes:
    """The form as Collect would send it: calculates computed, what does not apply left out.

    Raises ValueError where the person's answers do not fit the form: the demo's data and its forms belong together.
    """
    given = from_given(form, _asked(form, item.answers))
    if given.problems:
        raise ValueError("; ".join(problem.problem.en for problem in given.problems))
    filled = fill(form, given.answers, item.ended_at)
    return write_answers(form, filled, instance_id=instance_id)


def _asked(form: FormDefinition, answers: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in answers.items() if form.field(name) is not None}


def _review(place: Installation, now: datetime) -> None:
    """The demo's supervisor has looked at what is older than a few days: approved it, declined one, closed warnings."""
    before = now - timedelta(days=_REVIEWED_AFTER)
    with place.sessions.begin() as session:
        user = session.scalars(select(User).where(User.username == "supervisor")).one()
        viewer = viewer_of(session, user, now)
        waiting = session.scalars(
            select(Referral)
            .where(Referral.state == ReferralState.PROPOSED, Referral.created_at < before)
            .order_by(Referral.created_at, Referral.number)
        ).all()
        for place_in_line, referral in enumerate(waiting):
            at = referral.created_at + timedelta(hours=20)
            if place_in_line == 2:
                reason = referrals.Reason.NO_LONGER_INTERESTED
                referrals.decline(session, viewer, referral.id, reason, note="", now=at, vault=place.vault)
            else:
                referrals.approve(session, viewer, referral.id, at, referral.provider_code)
        standing = select(Flag).where(Flag.ended_at.is_(None), Flag.in_queue, Flag.raised_at < before)
        for flag in session.scalars(standing.order_by(Flag.raised_at, Flag.id)).all():
            at = flag.raised_at + timedelta(hours=21)
            flags.close(session, viewer, flag.id, flags.Reason.DEALT_WITH, now=at)
