"""What is in force, compiled once per process: looked up at each batch, compiled anew when something was published."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from forms import definition as form_json
from forms.definition import FormDefinition
from rules import model
from rules.evaluate import Ruleset, compile_rules
from rules.programme import Programme
from service import publishing
from service.tables import FormVersion, ProgrammeVersion, RulebookVersion, VersionState

#: Compiled rulebooks that are remembered: the live one, and former ones that late uploads still ask for.
_RULEBOOKS = 4
#: Form versions that are remembered.
_FORMS = 200


class UnknownForm(LookupError):
    """A submission's form or version that was never published here."""


@dataclass(frozen=True)
class Rules:
    """A published rulebook, compiled against the forms that are accepted now."""

    version_id: uuid.UUID
    rulebook: model.Rulebook
    ruleset: Ruleset


@dataclass(frozen=True)
class InForce:
    """The live programme and rules."""

    programme: Programme
    rules: Rules


class Shelf:
    """Keeps compiled what is in force. One per process; not shared between threads."""

    def __init__(self) -> None:
        self._programme: tuple[uuid.UUID, Programme] | None = None
        self._forms: OrderedDict[tuple[str, str], FormDefinition] = OrderedDict()
        self._accepted: tuple[uuid.UUID, ...] = ()
        self._rules: OrderedDict[uuid.UUID, Rules] = OrderedDict()

    def in_force(self, session: Session) -> InForce | None:
        """The live programme and rules; None while one of them was never published: then nothing can be decided."""
        programme_id = session.scalar(select(ProgrammeVersion.id).where(ProgrammeVersion.state == VersionState.LIVE))
        rulebook_id = session.scalar(select(RulebookVersion.id).where(RulebookVersion.state == VersionState.LIVE))
        if programme_id is None or rulebook_id is None:
            return None
        if self._programme is None or self._programme[0] != programme_id:
            programme = publishing.live_programme(session)
            if programme is None:
                return None
            self._programme = (programme_id, programme)
        return InForce(self._programme[1], self.rules(session, rulebook_id))

    def rules(self, session: Session, version_id: uuid.UUID) -> Rules:
        """A published rulebook, live or not, compiled against the accepted forms."""
        self._notice_forms(session)
        found = self._rules.get(version_id)
        if found is None:
            row = session.get_one(RulebookVersion, version_id)
            rulebook = model.from_json(row.rulebook)
            found = Rules(version_id, rulebook, compile_rules(rulebook, publishing.accepted_forms(session)))
            self._rules[version_id] = found
        self._rules.move_to_end(version_id)
        while len(self._rules) > _RULEBOOKS:
            self._rules.popitem(last=False)[1].ruleset.close()
        return found

    def form(self, session: Session, form_id: str, version: str) -> FormDefinition:
        """A version of a form, whatever its state: what has been taken can be read for ever. Raises UnknownForm."""
        key = (form_id, version)
        if key not in self._forms:
            row = session.execute(
                select(FormVersion.definition, FormVersion.xform).where(
                    FormVersion.form_id == form_id, FormVersion.version == version
                )
            ).one_or_none()
            if row is None:
                raise UnknownForm(f"form {form_id!r}, version {version!r}")
            self._forms[key] = form_json.from_json(row.definition, row.xform)
        self._forms.move_to_end(key)
        while len(self._forms) > _FORMS:
            self._forms.popitem(last=False)
        return self._forms[key]

    def _notice_forms(self, session: Session) -> None:
        """Rules are compiled against forms: when another set is accepted, they are compiled again."""
        accepted = tuple(
            session.scalars(
                select(FormVersion.id).where(FormVersion.state.in_(publishing.ACCEPTED)).order_by(FormVersion.id)
            )
        )
        if accepted != self._accepted:
            self._accepted = accepted
            for item in self._rules.values():
                item.ruleset.close()
            self._rules.clear()
