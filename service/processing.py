"""From a submission to a decision: open, read, link to the client, decide, apply; quarantine what cannot be.

A batch is one transaction with a savepoint for each submission, so that one that fails blocks no other. Running a batch
again is harmless: what is decided is left alone, and everything is keyed by submission and decision.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import delete, select
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import Session

from forms.answers import read
from forms.definition import Answer, AnswerFinding, Answers, FormDefinition
from forms.sheets import Text
from integrations.odk.submission import read_envelope
from rules import decision as said
from rules.evaluate import evaluate
from rules.facts import ConsentFact, Facts, Record
from rules.programme import Means, Programme
from service import audit, clients, follow_ups, outbox, outcomes
from service.in_force import InForce, Rules, Shelf
from service.observations import canonical, pack, unpack
from service.queries import records
from service.queries.records import Place
from service.sealing import DataKey, Erased, Vault
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

log = logging.getLogger(__name__)

#: What was looked at once and needs no second look.
_SETTLED = (SubmissionState.DECIDED, SubmissionState.REPLACED)
#: With `rules_crosscheck = sample`, one decision in so many is checked.
_SAMPLE = 10


@dataclass(frozen=True)
class Desk:
    """What deciding needs besides the database. `crosscheck`: always, sample or off."""

    vault: Vault
    shelf: Shelf = field(default_factory=Shelf)
    crosscheck: str = "always"


class CannotProcess(Exception):
    """A submission that waits in quarantine until a person has looked at it. Tree: Encrypted, ForeignEdit, …"""

    path = ""


class Encrypted(CannotProcess):
    """An encrypted submission: its answers cannot be read here."""


class ForeignEdit(CannotProcess):
    """An edit of a submission that another person had sent, or of another form."""


class EnginesDisagree(CannotProcess):
    """The chaining engine and the reference matcher differ: only what either wants the same day was applied."""


class TooManyDeaths(CannotProcess):
    """Workers died on it again and again."""


@dataclass(frozen=True)
class Opened:
    """A submission as it was read. `consents` are its own; `code` is the client code that it brought."""

    submission: Submission
    form: FormDefinition
    answers: Answers
    findings: tuple[AnswerFinding, ...]
    event_date: date
    consents: tuple[ConsentFact, ...]
    refuses: bool
    code: str

    @property
    def place(self) -> Place:
        return Place(self.event_date, self.submission.received_at, self.submission.id.hex)


@dataclass(frozen=True)
class Work:
    """One batch: session, time, and what is in force."""

    session: Session
    desk: Desk
    force: InForce
    now: datetime
    alone: frozenset[uuid.UUID]

    @property
    def programme(self) -> Programme:
        return self.force.programme

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.programme.settings.timezone)


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
    opened = list(_open_all(work, [row for row in rows if row.state not in _SETTLED]))
    decided = [item.submission.id for item in sorted(opened, key=_turn) if _contained(work, item)]
    outbox.finish(session, wanted)
    return decided


def _turn(item: Opened) -> tuple[str, datetime, str]:
    """Clients in one order in every worker, so that two never wait for each other; within one, as they came."""
    return item.code, item.submission.received_at, item.submission.id.hex


def _open_all(work: Work, rows: Sequence[Submission]) -> Iterator[Opened]:
    for row in rows:
        try:
            yield _open(work, row)
        except Exception as problem:  # Whatever one submission holds must not stop another.
            _raise_if_common(problem)
            quarantine(work.session, work.desk.vault, row, problem, work.now)


def _contained(work: Work, item: Opened) -> bool:
    """Decide one; what goes wrong goes to quarantine, and nothing of it stays."""
    try:
        with work.session.begin_nested():
            _decide_one(work, item)
    except Exception as problem:
        _raise_if_common(problem)
        quarantine(work.session, work.desk.vault, item.submission, problem, work.now)
        return False
    return item.submission.state is SubmissionState.DECIDED


def _raise_if_common(problem: Exception) -> None:
    """The database's own trouble is no submission's fault."""
    lost = isinstance(problem, DBAPIError) and problem.connection_invalidated
    if lost or isinstance(problem, OperationalError | InterfaceError):
        raise problem


# ---- reading --------------------------------------------------------------------------------------


def _open(work: Work, row: Submission) -> Opened:
    """Raises whatever makes it unreadable: a missing key, another form, an encrypted submission."""
    xml = work.desk.vault.open(row.key_id, row.sealed_xml, "xml")
    if read_envelope(xml).encrypted:
        raise Encrypted("the submission is encrypted")
    form = work.desk.shelf.form(work.session, row.form_id, row.form_version)
    submitted = read(form, xml)
    day, found = _event_date(work, form, submitted.answers, row.received_at)
    return Opened(
        submission=row,
        form=form,
        answers=submitted.answers,
        findings=(*submitted.findings, *found),
        event_date=day,
        consents=work.programme.own_consents(form.form_id, submitted.answers, day),
        refuses=work.programme.refuses(form.form_id, submitted.answers),
        code=clients.code_given(work.programme, form.form_id, submitted.answers) or "",
    )


def _event_date(
    work: Work, form: FormDefinition, answers: Answers, received_at: datetime
) -> tuple[date, tuple[AnswerFinding, ...]]:
    """The day on which it happened, in the programme's zone (product §3): what the sheet `fields` marks, else `end`.

    Later than a day after its receipt it cannot be: a phone's clock is wrong, and the receipt counts.
    """
    received = received_at.astimezone(work.zone).date()
    said_day = _as_day(work.programme.answer(form.form_id, Means.EVENT_DATE, answers), work.zone)
    day = said_day or _as_day(_end(form, answers), work.zone) or received
    if day <= received + timedelta(days=1):
        return day, ()
    finding = AnswerFinding(
        "event-date.future",
        "warning",
        "",
        Text(
            "Ngày thực hiện sau ngày nhận hơn một ngày; đã dùng ngày nhận. Kiểm tra đồng hồ của điện thoại.",
            "The event date is over a day after the receipt; the day of receipt was used. Check the phone's clock.",
        ),
    )
    return received, (finding,)


def _end(form: FormDefinition, answers: Answers) -> Answer | None:
    for item in form.fields:
        answer = answers.get(item.path)
        if item.preload == "timestamp/end" and answer is not None and not isinstance(answer, list):
            return answer
    return None


def _as_day(answer: Answer | None, zone: ZoneInfo) -> date | None:
    if not isinstance(answer, str):
        return None
    try:
        if len(answer) <= len("2026-01-31"):
            return date.fromisoformat(answer)
        moment = datetime.fromisoformat(answer)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(zone).date()


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
    for name, value in _reportable(work.programme, item.form.form_id, item.answers):
        session.add(ReportableValue(submission_id=row.id, name=name, value=value))


def _reportable(programme: Programme, form: str, answers: Answers) -> Iterator[tuple[str, str]]:
    """(field name, value) of what the sheet `fields` marks as reportable: each choice, each row of a repeat."""
    for path, answer in answers.items():
        meaning = programme.meaning(form, path)
        if meaning is None or not meaning.reportable:
            continue
        for row in answer if isinstance(answer, list) else [answer]:
            for value in row if isinstance(row, tuple) else [row]:
                if value is not None:
                    yield meaning.field, _counted(value)


def _counted(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}"[:255] if isinstance(value, float) else str(value)[:255]


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
    session, here = work.session, item.place
    if client is None:
        decision = _evaluated(work, item, rules, Record())
        row = _keep_decision(work, item, None, rules, decision)
        # There is nobody whom a flag or referral could be about: what was stopped is counted, and that is all.
        outcomes.stopped(session, row, None, decision, work.now)
        return row
    everything = records.observations(session, client.id)
    before = _decisions(session, {row.submission_id for row in everything if Place.of(row) < here})
    moment = here.moment(work.zone)
    outcomes.complete_internal(
        session, client, work.programme, item.form.form_id, before, at=moment, by=item.submission.user_id
    )
    record = records.just_before(session, client.id, here, everything, open_=_opener(work), zone=work.zone)
    follow_ups.fulfil(
        session,
        client,
        item.form.form_id,
        item.submission.id,
        item.event_date,
        today=work.now.astimezone(work.zone).date(),
    )
    decision = _evaluated(work, item, rules, record)
    row = _keep_decision(work, item, client, rules, decision)
    ground = outcomes.Ground(
        row=row,
        client=client,
        programme=work.programme,
        rulebook=rules.rulebook,
        form=item.form.form_id,
        event_date=item.event_date,
        received_at=item.submission.received_at,
        before=frozenset(before),
        moment=moment,
        now=work.now,
        zone=work.zone,
    )
    outcomes.apply(session, ground, decision)
    if not decision.agreed:
        _set_aside(work, item.submission, EnginesDisagree(decision.disagreement))
    return row


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


def _opener(work: Work) -> records.Opener:
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
        Submission.deprecated_instance_id == row.instance_id, Submission.state.in_(_SETTLED)
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
    follow_ups.undo(session, old.id, work.now.astimezone(work.zone).date())
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
    (answers,) = _opener(work)([observation])
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


# ---- quarantine -----------------------------------------------------------------------------------


def quarantine(session: Session, vault: Vault, row: Submission, problem: Exception, now: datetime) -> None:
    """Set a submission aside: what kind of error and where in clear, what it said under seal. It blocks nothing."""
    key = _key_of(vault, row)
    detail = canonical({"error": type(problem).__name__, "message": str(problem)[:20_000]})
    known = session.get(Quarantine, row.id)
    tries = known.tries + 1 if known else 1
    session.merge(
        Quarantine(
            submission_id=row.id,
            error_class=type(problem).__name__[:120],
            path=str(getattr(problem, "path", "") or "")[:500],
            sealed_detail=vault.seal(key, detail, "quarantine"),
            key_id=key.id,
            at=now,
            tries=tries,
        )
    )
    row.state = SubmissionState.QUARANTINED
    session.flush()
    # The class alone: the message may quote an answer.
    log.warning("submission set aside", extra={"submission": str(row.id), "error": type(problem).__name__})


def _set_aside(work: Work, row: Submission, problem: Exception) -> None:
    quarantine(work.session, work.desk.vault, row, problem, work.now)


def _key_of(vault: Vault, row: Submission) -> DataKey:
    """The submission's own key; where it was erased, a fresh one."""
    try:
        return vault.key(row.key_id)
    except Erased:
        return vault.new_key()


def give_up(session: Session, submission_ids: Iterable[uuid.UUID], *, now: datetime, desk: Desk) -> None:
    """Set aside submissions on which workers died too often, without touching them again."""
    wanted = list(submission_ids)
    for row in session.scalars(select(Submission).where(Submission.id.in_(wanted))):
        if row.state not in _SETTLED:
            quarantine(session, desk.vault, row, TooManyDeaths("workers died on it"), now)
    outbox.finish(session, wanted)


def retry(session: Session, submission_ids: Iterable[uuid.UUID], *, now: datetime, by: uuid.UUID | None) -> int:
    """Put quarantined submissions back into the outbox, in order of receipt; returns how many."""
    rows = session.scalars(
        select(Submission)
        .where(Submission.id.in_(list(submission_ids)), Submission.state == SubmissionState.QUARANTINED)
        .order_by(Submission.received_at, Submission.id)
    ).all()
    for row in rows:
        row.state = SubmissionState.RECEIVED
        session.execute(delete(OutboxRow).where(OutboxRow.submission_id == row.id))
        session.add(OutboxRow(submission_id=row.id, available_at=now))
        session.flush()
        audit.record(session, at=now, actor=by, action="quarantine.retried", kind="submission", object_id=str(row.id))
    return len(rows)
