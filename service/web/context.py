"""What a request needs of the running server: settings, database, seals, the writer. One per application.

`app.state.context` holds it; see app.py for how it is made and closed.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import timedelta

from fastapi import Request
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, sessionmaker

from forms import definition as form_json
from forms.definition import FormDefinition
from rules import programme
from rules.programme import Programme
from service import database
from service.sealing import Vault
from service.settings import Settings
from service.submissions import Writer
from service.tables import FormVersion, ProgrammeVersion, VersionState
from service.web.throttle import Throttle

#: Form versions whose questions are remembered.
_FORMS = 100


@dataclass
class Context:
    """`sessions` may write; `reading` waits for no writer and refuses to write."""

    settings: Settings
    engine: Engine
    vault: Vault
    writer: Writer
    sessions: sessionmaker[Session] = field(init=False)
    reading: sessionmaker[Session] = field(init=False)
    #: Wrong passwords of phones, which sign each request and so never come to the sign-in page.
    phone_throttle: Throttle = field(default_factory=Throttle)
    _programme: tuple[uuid.UUID, Programme] | None = field(default=None, init=False, repr=False)
    _forms: dict[tuple[str, str], FormDefinition] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self.sessions = database.sessions(self.engine)
        self.reading = database.reading_sessions(self.engine)

    def programme(self, session: Session) -> Programme | None:
        """The live programme, read from its JSON once for each version; None while none is published."""
        version = session.scalar(select(ProgrammeVersion.id).where(ProgrammeVersion.state == VersionState.LIVE))
        if version is None:
            return None
        kept = self._programme
        if kept is None or kept[0] != version:
            data = session.scalars(select(ProgrammeVersion.programme).where(ProgrammeVersion.id == version)).one()
            kept = self._programme = (version, programme.from_json(data))
        return kept[1]

    def form(self, session: Session, form_id: str, version: str) -> FormDefinition | None:
        """A published form in that version, whatever its state, for the words of its questions; None if unknown."""
        key = (form_id, version)
        if key not in self._forms:
            # Published versions never change, so what is kept is never stale.
            row = session.execute(
                select(FormVersion.definition, FormVersion.xform).where(
                    FormVersion.form_id == form_id, FormVersion.version == version
                )
            ).one_or_none()
            if row is None:
                return None
            if len(self._forms) >= _FORMS:
                self._forms.clear()
            self._forms[key] = form_json.from_json(row.definition, row.xform)
        return self._forms[key]

    @property
    def session_length(self) -> timedelta:
        """How long a browser stays signed in without a request."""
        return timedelta(hours=self.settings.session_hours)


def context_of(request: Request) -> Context:
    """The running server's context."""
    context: Context = request.app.state.context
    return context
