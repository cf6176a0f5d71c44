"""From a submission to a decision: open, read, link to the client, decide, apply; quarantine what cannot be.

A batch is one transaction with a savepoint for each submission, so that one that fails blocks no other. Running a batch
again is harmless: what is decided is left alone, and everything is keyed by submission and decision.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import Session

from forms.definition import Answers, FormDefinition
from rules import decision as said
from rules.evaluate import evaluate
from rules.facts import Facts, Record
from rules.model import Trigger
from service import audit, clients, follow_ups, outbox, outcomes, quarantine, reading
from service.desk import Desk, Work
from service.in_force import Rules
from service.observations import canonical, pack, unpack
from service.quarantine import SETTLED, EnginesDisagree, ForeignEdit
from service.queries import records
from service.queries.records import Place
from service.reading import Opened
from service.tables import (
    Client,
    Consent,
    ConsentState,
    Decision,
    Observation,
    OutboxRow,
    Quarantine,
    ReportableValue,
    Role,
    Submission,
    SubmissionState,
    User,
)

#: With `rules_crosscheck = sample`, one decision in so many is checked.
_SAMPLE = 10


def process(
    session: Session,
    submission_ids: Iterable[uuid.UUID],
    *,
    now: datetime,
    desk: Desk,
    alone: Collection[uuid.UUID] = (),
) -> list[uuid.UUID]:
    """Decide these submissions and finish their rows of the outbox; returns those that were decided now.

    Those in `alone` are decided by the reference matcher alone: a worker has died on them. Without a live programme
    and rulebook nothing can be decided, and nothing is touched. Raises only what concerns the whole batch, such as a
    lost connection; the claims then return with their lease.
    """
    wanted = list(submission_ids)
    force = desk.shelf.in_force(session)
    if not wanted or force is None:
        return []
    work = Work(session, desk, force, now, frozenset(alone))
    rows = session.scalars(
        select(Submission).where(Submission.id.in_(wanted)).order_by(Submission.id).with_for_update()
    ).all()
    desk.vault.keys(row.key_id for row in rows)  # Asked once for all; the vault remembers them.
    opened = list(_open_all(work, [row for row in rows if row.state not in SETTLED]))
    decided = [item.submission.id for item in sorted(opened, key=_turn) if _contained(work, item)]
    outbox.finish(session, wanted)
    return decided


def _turn(item: Opened) -> tuple[str, datetime, str]:
    """Clients in one order in every worker, so that two never wait for each other; within one, as they came."""
    return item.code, item.submission.received_at, item.submission.id.hex


def _open_all(work: Work, rows: Sequence[Submission]) -> Iterator[Opened]:
    for row in rows:
        try:
            yield reading.opened(work, row)
        except Exception as problem:  # Whatever one submission holds must not stop another.
            _raise_if_common(problem)
            quarantine.set_aside(work.session, work.desk.vault, row, problem, work.now)


def _contained(work: Work, item: Opened) -> bool:
    """Decide one; what goes wrong goes to quarantine, and nothing of it stays."""
    try:
        with work.session.begin_nested():
            _decide_one(work, item)
    except Exception as problem:
        _raise_if_common(problem)
        quarantine.set_aside(work.session, work.desk.vault, item.submission, problem, work.now)
        return False
    return item.submission.state is SubmissionState.DECIDED


def _raise_if_common(problem: Exception) -> None:
    """The database's own trouble is no submission's fault."""
    lost = isinstance(problem, DBAPIError) and problem.connection_invalidated
    if lost or isinstance(problem, OperationalError | InterfaceError):
        raise problem


# ---- one submission -------------------------------------------------------------------------------


def _decide_one(work: Work, item: Opened) -> None:
    row = item.submission
    if _replaced_already(work, row):
        row.state = SubmissionState.REPLACED
        return
    former = _replace_former(work, item)
    client = None if item.refuses else _client(work, item)
    _keep_observation(work, item, client)
    _keep_consents(work, item, client)
    if client is not None:
        clients.keep_identity(
            work.session,
            work.desk.vault,
            work.programme,
            client,
            form=item.form.form_id,
            answers=item.answers,
            now=work.now,
        )
    row.client_id = client.id if client else None
    row.state = SubmissionState.DECIDED
    work.session.execute(delete(Quarantine).where(Quarantine.submission_id == row.id))
    decided = _decide(work, item, client, work.force.rules)
    if former is not None:
        outcomes.name_successors(work.session, former.decisions, decided)
    _decide_later_ones(work, item, client, former)
    work.session.flush()


def _client(work: Work, item: Opened) -> Client:
    return clients.link(
        work.session, work.programme, item.submission, item.answers, event_date=item.event_date, now=work.now
    )


def _keep_observation(work: Work, item: Opened, client: Client | None) -> None:
    """The typed answers, sealed under the submission's own key, and the values that reports may count."""
    session, row = work.session, item.submission
    key = work.desk.vault.key(row.key_id)
    session.merge(
        Observation(
            submission_id=row.id,
            client_id=client.id if client else None,
            form_id=item.form.form_id,
            form_version=item.form.version,
            event_date=item.event_date,
            received_at=row.received_at,
            area_code=clients.area_of(session, work.programme, row, item.answers, item.event_date),
            sealed_answers=work.desk.vault.seal(key, pack(item.answers, item.findings), "answers"),
            key_id=key.id,
            findings=len(item.findings),
            replaced=False,
        )
    )
    session.flush()
    session.execute(delete(ReportableValue).where(ReportableValue.submission_id == row.id))
    for name, value in reading.reportable(work.programme, item.form.form_id, item.answers):
        session.add(ReportableValue(submission_id=row.id, name=name, value=value))


def _keep_consents(work: Work, item: Opened, client: Client | None) -> None:
    """What was said about consent. A refusal makes no client, but a known one's earlier yes must not outlive it."""
    if client is None:
        client = clients.find(work.session, item.code) if item.code else None
    if client is None:
        return
    known = {
        row.service: row
        for row in work.session.scalars(
            select(Consent).where(Consent.client_id == client.id, Consent.submission_id == item.submission.id)
        )
    }
    for fact in item.consents:
        row = known.get(fact.service) or Consent(
            id=uuid.uuid4(), client_id=client.id, service=fact.service, submission_id=item.submission.id
        )
        row.state, row.given_on = ConsentState(fact.state.value), fact.date
        row.recorded_at = item.submission.received_at
        row.form_version = f"{item.form.form_id} {item.form.version}"[:255]
        row.language = item.form.default_language[:64]
        work.session.add(row)
    work.session.flush()


# ---- deciding -------------------------------------------------------------------------------------


def _decide(work: Work, item: Opened, client: Client | None, rules: Rules) -> Decision:
    """Decide one observation on the record just before it, keep the decision, and apply it."""
    if client is None:
        return _decide_about_nobody(work, item, rules)
    session, here, form = work.session, item.place, item.form.form_id
    everything = records.observations(session, client.id)
    before = _decisions(session, {row.submission_id for row in everything if Place.of(row) < here})
    moment, sender = here.moment(work.zone), item.submission.user_id
    outcomes.complete_internal(session, client, work.programme, form, before, at=moment, by=sender)
    record = records.just_before(session, client.id, here, everything, open_=opener(work), zone=work.zone)
    follow_ups.fulfil(session, client, form, item.submission.id, item.event_date, today=work.today)
    decision = _evaluated(work, item, rules, record)
    row = _keep_decision(work, item, client, rules, decision)
    outcomes.apply(session, _ground(work, item, row, client, rules, before=before), decision)
    if not decision.agreed:
        problem = EnginesDisagree(decision.disagreement)
        quarantine.set_aside(session, work.desk.vault, item.submission, problem, work.now)
    return row


def _decide_about_nobody(work: Work, item: Opened, rules: Rules) -> Decision:
    """A person who refuses: there is nobody whom a flag or referral could be about. What was stopped is counted."""
    decision = _evaluated(work, item, rules, Record())
    row = _keep_decision(work, item, None, rules, decision)
    outcomes.stopped(work.session, row, None, decision, work.now)
    return row


def _ground(
    work: Work, item: Opened, row: Decision, client: Client, rules: Rules, *, before: Collection[uuid.UUID]
) -> outcomes.Ground:
    form = item.form.form_id
    return outcomes.Ground(
        row=row,
        client=client,
        programme=work.programme,
        rulebook=rules.rulebook,
        form=form,
        decides=rules.ruleset.program(Trigger.SUBMISSION, form, None).raises,
        event_date=item.event_date,
        received_at=item.submission.received_at,
        before=frozenset(before),
        moment=item.place.moment(work.zone),
        now=work.now,
        zone=work.zone,
    )


def _evaluated(work: Work, item: Opened, rules: Rules, record: Record) -> said.Decision:
    facts = Facts(
        form=item.form.form_id,
        date=item.event_date,
        answers=item.answers,
        record=record,
        own_consents=item.consents,
        internal_services=work.programme.internal_services,
    )
    checked = work.desk.crosscheck == "always" or (
        work.desk.crosscheck == "sample" and item.submission.id.int % _SAMPLE == 0
    )
    return evaluate(
        rules.ruleset,
        facts,
        today=item.event_date,
        # The receipt, not the present: deciding anew must not forget follow-ups whose window has closed since.
        now=item.submission.received_at,
        crosscheck=checked,
        reference_only=item.submission.id in work.alone,
    )


def _keep_decision(work: Work, item: Opened, client: Client | None, rules: Rules, decision: said.Decision) -> Decision:
    """One row for (submission, rulebook): deciding anew on other facts writes over it; the audit keeps both hashes."""
    session = work.session
    row = session.scalars(
        select(Decision)
        .where(Decision.submission_id == item.submission.id, Decision.rulebook_hash == decision.rulebook_hash)
        .order_by(Decision.decided_at.desc())
        .limit(1)
    ).one_or_none()
    if row is not None and row.facts_hash != decision.facts_hash:
        _note_change(work, row, decision)
    if row is None:
        row = Decision(id=uuid.uuid4(), submission_id=item.submission.id)
        session.add(row)
    key = work.desk.vault.key(item.submission.key_id)
    row.client_id = client.id if client else None
    row.rulebook_version_id, row.rulebook_hash = rules.version_id, decision.rulebook_hash
    row.facts_hash, row.engine = decision.facts_hash, decision.engine
    row.event_date, row.decided_at = item.event_date, work.now
    row.agreed, row.alone = decision.agreed, item.submission.id in work.alone
    row.sealed_decision = work.desk.vault.seal(key, canonical(said.to_json(decision)), "decision")
    row.key_id = key.id
    session.flush()
    return row


def _note_change(work: Work, row: Decision, decision: said.Decision) -> None:
    audit.record(
        work.session,
        at=work.now,
        actor=None,
        action="decision.decided_anew",
        kind="decision",
        object_id=str(row.id),
        client_id=row.client_id,
        facts_before=row.facts_hash,
        facts_after=decision.facts_hash,
    )


def _decisions(session: Session, submission_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    return set(session.scalars(select(Decision.id).where(Decision.submission_id.in_(list(submission_ids)))))


def opener(work: Work) -> records.Opener:
    """Opens the typed answers of observations; one whose key was erased is None."""

    def opened(rows: Sequence[Observation]) -> Sequence[Answers | None]:
        plain = work.desk.vault.open_many([(row.key_id, row.sealed_answers) for row in rows], "answers")
        return [
            None if text is None else unpack(text, _form(work, row))[0] for row, text in zip(rows, plain, strict=True)
        ]

    return opened


def _form(work: Work, row: Observation) -> FormDefinition:
    return work.desk.shelf.form(work.session, row.form_id, row.form_version)


# ---- edits and late uploads -----------------------------------------------------------------------


@dataclass(frozen=True)
class Former:
    """What an edit took the place of: the client then, where it stood, and its decisions."""

    client_id: uuid.UUID | None
    place: Place
    decisions: frozenset[uuid.UUID]


def _replaced_already(work: Work, row: Submission) -> bool:
    """An edit may overtake what it replaces: then the older one is not looked at any more."""
    edit = select(Submission.id).where(
        Submission.deprecated_instance_id == row.instance_id, Submission.state.in_(SETTLED)
    )
    return work.session.scalar(edit.limit(1)) is not None


def _replace_former(work: Work, item: Opened) -> Former | None:
    """Mark the submission that this one edits as replaced, and take its outcomes back. Raises ForeignEdit."""
    session, row = work.session, item.submission
    if row.deprecated_instance_id is None:
        return None
    old = session.scalars(
        select(Submission).where(Submission.instance_id == row.deprecated_instance_id).with_for_update()
    ).one_or_none()
    if old is None:
        return None
    _require_own(session, row, old)
    old.state = SubmissionState.REPLACED
    session.execute(delete(OutboxRow).where(OutboxRow.submission_id == old.id))
    session.execute(delete(Quarantine).where(Quarantine.submission_id == old.id))
    session.execute(delete(ReportableValue).where(ReportableValue.submission_id == old.id))
    observation = session.get(Observation, old.id)
    if observation is None:
        return None
    if observation.client_id is not None:
        session.execute(select(Client.id).where(Client.id == observation.client_id).with_for_update())
    observation.replaced = True
    follow_ups.undo(session, old.id, work.today)
    decisions = session.scalars(select(Decision).where(Decision.submission_id == old.id)).all()
    for decision in decisions:
        outcomes.withdraw(session, decision, work.now)
    audit.record(
        session, at=work.now, actor=row.user_id, action="submission.replaced", kind="submission", object_id=str(old.id)
    )
    return Former(observation.client_id, Place.of(observation), frozenset(item.id for item in decisions))


def _require_own(session: Session, row: Submission, old: Submission) -> None:
    """Who may edit: the one who sent it, and who supervises. Nobody may blot out another's submission."""
    sender = session.get_one(User, row.user_id)
    supervises = sender.role in (Role.SUPERVISOR, Role.COORDINATOR)
    if old.form_id != row.form_id or not (old.user_id == row.user_id or supervises):
        raise ForeignEdit("an edit of somebody else's submission, or of another form")


def _decide_later_ones(work: Work, item: Opened, client: Client | None, former: Former | None) -> None:
    """Decide anew, in order, what happened later to the same client: its record has changed.

    Each is decided under the rulebook that decided it first: a new rulebook leaves old outcomes untouched. What nobody
    has acted on is replaced; what somebody has stays, and nobody is told yet (see outcomes.py).
    """
    changed: dict[uuid.UUID, Place] = {}
    if client is not None:
        changed[client.id] = item.place
    if former is not None and former.client_id is not None:
        changed[former.client_id] = min(former.place, changed.get(former.client_id, former.place))
    for client_id, place in sorted(changed.items()):
        whose = work.session.get_one(Client, client_id)
        for observation in records.observations(work.session, client_id):
            later = Place.of(observation) > place and observation.submission_id != item.submission.id
            if later and not observation.replaced:
                _decide_again(work, whose, observation)


def _decide_again(work: Work, client: Client, observation: Observation) -> None:
    first = work.session.scalars(
        select(Decision)
        .where(Decision.submission_id == observation.submission_id)
        .order_by(Decision.decided_at.desc())
        .limit(1)
    ).one_or_none()
    (answers,) = opener(work)([observation])
    if first is None or answers is None:
        return
    form = _form(work, observation)
    item = Opened(
        submission=work.session.get_one(Submission, observation.submission_id),
        form=form,
        answers=answers,
        findings=(),
        event_date=observation.event_date,
        consents=work.programme.own_consents(form.form_id, answers, observation.event_date),
        refuses=False,
        code=client.code,
    )
    _decide(work, item, client, work.desk.shelf.rules(work.session, first.rulebook_version_id))
