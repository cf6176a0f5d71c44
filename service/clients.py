"""Clients: a pseudonym that observations join, and an identity that is sealed apart from it."""

from __future__ import annotations

import json
import re
import unicodedata
import uuid
from collections.abc import Iterator, Mapping
from datetime import date, datetime

from sqlalchemy import delete, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from forms.definition import Answers
from rules.facts import TAKE_PART
from rules.programme import IDENTITY, Means, Programme
from service.queries import consents
from service.sealing import Vault
from service.tables import (
    Area,
    Client,
    ClientIdentity,
    ClientNumber,
    ConsentState,
    IdentityIndex,
    Role,
    Submission,
    User,
    UserArea,
)

#: People write one number as +84 912 345 678, 0084… or 0912…: the last nine digits are what these share.
_PHONE_DIGITS = 9


def code_given(programme: Programme, form: str, answers: Answers) -> str | None:
    """The client code that the form brought, as all codes are kept: a code read over the telephone has no case."""
    answer = programme.answer(form, Means.CLIENT_CODE, answers)
    code = "".join(unicodedata.normalize("NFC", str(answer)).split()).upper() if answer is not None else ""
    return code[:64] or None


def find(session: Session, code: str) -> Client | None:
    """The client with this code, locked until the transaction ends."""
    question = select(Client).where(Client.code == code).with_for_update()
    return session.scalars(question.execution_options(populate_existing=True)).one_or_none()


def link(
    session: Session, programme: Programme, submission: Submission, answers: Answers, *, event_date: date, now: datetime
) -> Client:
    """The client of a submission, locked: found by code, else made. Not to be asked for a person who refuses.

    The sender of the first form is the client's worker. A code that belongs to another worker's client is linked all
    the same and stays with her: cover for an absence must not take clients away.
    """
    code = code_given(programme, submission.form_id, answers)
    client = find(session, code) if code else None
    if client is None:
        client = _make(session, programme, code, now)
    sender = session.get_one(User, submission.user_id)
    if client.worker_id is None and sender.role is not Role.POLICE:
        # The police only open the door: a client is the social worker's, and they see nothing of it.
        client.worker_id = sender.id
    if client.area_code is None:
        client.area_code = area_of(session, programme, submission, answers, event_date)
    session.flush()
    return client


def area_of(
    session: Session, programme: Programme, submission: Submission, answers: Answers, event_date: date
) -> str | None:
    """The area that the form says, if the programme knows it, else the sender's own on that day."""
    said = programme.answer(submission.form_id, Means.AREA, answers)
    if isinstance(said, str) and session.get(Area, said) is not None:
        return said
    return session.scalar(
        select(UserArea.area_code)
        .where(
            UserArea.user_id == submission.user_id,
            or_(UserArea.valid_from.is_(None), UserArea.valid_from <= event_date),
            or_(UserArea.valid_to.is_(None), UserArea.valid_to >= event_date),
        )
        .order_by(UserArea.id)
        .limit(1)
    )


def _make(session: Session, programme: Programme, code: str | None, now: datetime) -> Client:
    """A new client; where another worker made the same code in this moment, that one."""
    while True:
        chosen = code or _fresh_code(session, programme)
        client = Client(id=uuid.uuid4(), code=chosen, created_at=now)
        try:
            with session.begin_nested():
                session.add(client)
                session.flush()
        except IntegrityError:
            if code is None:
                continue  # The number was already given to a phone; the next one is tried.
            found = find(session, code)
            if found is None:
                raise
            return found
        return client


def _fresh_code(session: Session, programme: Programme) -> str:
    row = ClientNumber()
    session.add(row)
    session.flush()
    return f"{programme.settings.client_code_prefix}-{row.id:04}"


# ---- identity -------------------------------------------------------------------------------------


def keep_identity(
    session: Session,
    vault: Vault,
    programme: Programme,
    client: Client,
    *,
    form: str,
    answers: Answers,
    now: datetime,
) -> None:
    """Seal who the client is, where the form says so and the client takes part.

    What a form leaves blank keeps its former value. Where the programme asks nobody to take part, nothing is asked
    here either; where it does, silence is no.
    """
    said = dict(_identity(programme, form, answers))
    if not said or not _may_be_kept(session, programme, client):
        return
    row = session.get(ClientIdentity, client.id)
    key = vault.new_key() if row is None else vault.key(row.key_id)
    known = {} if row is None else identity(vault, row)
    known.update(said)
    sealed = vault.seal(key, json.dumps(known, ensure_ascii=False, sort_keys=True).encode(), "identity")
    session.merge(ClientIdentity(client_id=client.id, sealed_identity=sealed, key_id=key.id, updated_at=now))
    session.execute(delete(IdentityIndex).where(IdentityIndex.client_id == client.id))
    for kind, text in sorted(set(_index_terms(known))):
        session.add(IdentityIndex(client_id=client.id, kind=kind, digest=vault.blind(kind, text)))
    session.flush()


def identity(vault: Vault, row: ClientIdentity) -> dict[str, str]:
    """What is known of a client by meaning (name, phone, …). Raises Erased."""
    opened: dict[str, str] = json.loads(vault.open(row.key_id, row.sealed_identity, "identity"))
    return opened


def _may_be_kept(session: Session, programme: Programme, client: Client) -> bool:
    if not any(item.means is Means.CONSENT_TAKE_PART for item in programme.fields):
        return True
    said = consents.latest(session, client.id, TAKE_PART)
    return said is not None and said.state is ConsentState.GIVEN


def _identity(programme: Programme, form: str, answers: Answers) -> Iterator[tuple[str, str]]:
    for means in IDENTITY:
        answer = programme.answer(form, means, answers)
        if answer is not None and str(answer).strip():
            yield means.value, unicodedata.normalize("NFC", str(answer)).strip()


def _index_terms(known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(kind, text) of each blind index. A nickname is a name too: it is what people ask for."""
    for means in (Means.NAME, Means.NICKNAME):
        words = folded(known.get(means, "")).split()
        if words:
            yield "name", " ".join(words)
            yield from (("name_word", word) for word in words)
    if digits := phone_digits(known.get(Means.PHONE, "")):
        yield "phone", digits
    if born := known.get(Means.BIRTH_DATE):
        yield "birth_date", born


def folded(text: str) -> str:
    """Lower case without diacritics, so that "Nguyễn Đức" is found by "nguyen duc"."""
    plain = unicodedata.normalize("NFD", text.casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter)).replace("đ", "d")


def phone_digits(text: str) -> str:
    """The digits by which a telephone number is found."""
    return re.sub(r"\D", "", text)[-_PHONE_DIGITS:]


def search_terms(kind: str, text: str) -> str:
    """What somebody typed, as the blind index of that kind was made: name, name_word, phone or birth_date."""
    if kind == "phone":
        return phone_digits(text)
    return " ".join(folded(text).split()) if kind.startswith("name") else text.strip()
