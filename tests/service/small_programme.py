"""A small made-up programme for the service's tests: two forms, a handful of rules, and somebody who sends.

Nothing of it is shipped. What is published here goes around the slow checks of publishing.py, which has its own tests.
"""

import io
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any
from xml.sax.saxutils import escape

import openpyxl
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from forms import definition as form_json
from forms.compile import compile_workbook
from forms.definition import FormDefinition
from forms.workbook import from_markdown
from rules import model
from rules.workbook import read_rules
from service import database, processing, publishing
from service.desk import Desk
from service.sealing import Vault
from service.tables import (
    Client,
    Consent,
    ConsentState,
    Flag,
    FollowUp,
    FormVersion,
    OutboxRow,
    Referral,
    Role,
    RulebookVersion,
    Submission,
    SubmissionState,
    User,
    VersionState,
)
from tests.service import builders
from tests.service.builders import NOW

CHECK = """
| survey |
|        | type                      | name         | label::English (en)    |
|        | date                      | visit_date   | Day                    |
|        | end                       | end          |                        |
|        | text                      | area         | Area                   |
|        | text                      | client_code  | Code                   |
|        | select_one yes_no         | agrees       | Takes part             |
|        | select_multiple services  | share        | May be told            |
|        | text                      | full_name    | Name                   |
|        | text                      | phone        | Telephone              |
|        | date                      | birth_date   | Born                   |
|        | integer                   | score        | Score                  |
|        | select_one yes_no         | danger       | In danger              |
|        | select_multiple services  | needs        | Needs                  |
| choices |
|        | list_name | name   | label::English (en) |
|        | yes_no    | yes    | Yes    |
|        | yes_no    | no     | No     |
|        | services  | clinic | Clinic |
|        | services  | rescue | Rescue |
|        | services  | advice | Advice |
| settings |
|        | form_id | version | form_title |
|        | check   | 1       | Check      |
"""

VISIT = """
| survey |
|        | type    | name         | label::English (en) |
|        | date    | visit_date   | Day                 |
|        | text    | client_code  | Code                |
|        | integer | score        | Score               |
| settings |
|        | form_id | version | form_title |
|        | visit   | 1       | Visit      |
"""

PROGRAMME = """
| settings |
|          | programme_id | title::English (en) | timezone         | client_code_prefix | referral_prefix |
|          | small        | Small               | Asia/Ho_Chi_Minh | KH                 | CG              |
| areas    |
|          | code | parent | label::English (en) |
|          | N    |        | North               |
|          | N1   | N      | North 1             |
|          | S    |        | South               |
| services |
|          | code   | label::English (en) | internal | compartment | urgency  | completed_by |
|          | clinic | Clinic              |          |             | soon     |              |
|          | rescue | Rescue              |          | quiet       | same_day |              |
|          | advice | Advice              |          |             | routine  |              |
|          | talk   | Talk                | yes      |             | same_visit | check      |
| providers |
|          | code    | label::English (en) | services      | areas |
|          | south   | South house         | clinic rescue | S     |
|          | north   | North house         | clinic rescue | N     |
| fields   |
|          | form  | field       | means             | reportable |
|          | check | visit_date  | event_date        |            |
|          | check | area        | area              |            |
|          | check | client_code | client_code       |            |
|          | check | agrees      | consent_take_part | yes        |
|          | check | share       | consent_share     |            |
|          | check | full_name   | name              |            |
|          | check | phone       | phone             |            |
|          | check | birth_date  | birth_date        |            |
|          | check | score       |                   | yes        |
|          | check | needs       |                   | yes        |
|          | visit | visit_date  | event_date        |            |
|          | visit | client_code | client_code       |            |
"""

#: Where the rules end and the stops begin.
STOPS = "| stops    |\n"

RULES = """
| settings |
|          | rulebook_id | version | title::English (en) |
|          | small       | 1       | Small               |
| rules    |
|          | rule_id | form | priority | when | flag | level | referral | urgency | due | follow_up | notify |
|          | R1 | check | 50 | ${score} >= 10 | high_score | high | clinic | soon | 7 | course | |
|          | R2 | check | 90 | ${danger} = 'yes' | danger | critical | rescue | same_day | 0 | call + 0 | worker |
|          | R3 | check | 40 | ${score} >= 5 | some_score | moderate | talk | same_visit | 0 | again + 14 | worker |
|          | R4 | check | 30 | change('score') > 0 | worse | warning | | | | | |
|          | R5 | check | 30 | ${score} >= 10 and ${danger} = 'yes' | both | low | | priority | 3 | course | |
|          | R6 | check | 30 | selected(${needs}, 'advice') | wants_advice | info | advice | routine | 14 | | |
|          | R8 | check | 95 | ${score} >= 20 | very_high | high | clinic | same_day | 0 | | |
|          | R7 | check | 20 | has-flag('high_score') and count-open('clinic') > 0 | twice | info | | | | | |
| stops    |
|          | stop_id | service | when | instead | message::English (en) |
|          | Z1 | * | not(consents-to-take-part()) | information_only | No consent |
|          | Z2 | * | not(consents-to(service())) | self_referral_information | Not shared |
|          | Z3 | * | count-open(service()) > 0 | attach_to_open | Open already |
| schedules |
|          | schedule | step | form  | due | opens_before | closes_after | starts_from | label::English (en) |
|          | course   | m1   | visit | 30  | 7            | 14           | scheduled   | Month 1 |
|          | course   | m3   | visit | 90  | 14           | 21           | scheduled   | Month 3 |
|          | call     |      | visit |     | 0            | 1            | actual      | Call    |
|          | again    |      | check |     | 14           | 30           | actual      | Again   |
"""


def workbook_bytes(markdown: str) -> bytes:
    """The sheets of a Markdown workbook as an .xlsx file."""
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for sheet in from_markdown(markdown).sheets.values():
        page = book.create_sheet(sheet.name)
        page.append(list(sheet.headings))
        for row in sheet.rows:
            for column, heading in enumerate(sheet.headings, start=1):
                if row.get(heading):
                    page.cell(row.number, column, row.get(heading))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


@cache
def compiled(markdown: str) -> FormDefinition:
    return compile_workbook(from_markdown(markdown)).require()


def publish(session: Session, *, rules: str = RULES, forms: tuple[str, ...] = (CHECK, VISIT)) -> None:
    """Put the small programme in force."""
    for markdown in forms:
        publish_form(session, markdown)
    found = publishing.publish_programme(session, workbook_bytes(PROGRAMME), "programme.xlsx", by=None, now=NOW)
    assert found.id is not None, found.findings
    publish_rules(session, rules)


def publish_form(session: Session, markdown: str) -> FormVersion:
    form = compiled(markdown)
    for former in session.scalars(select(FormVersion).where(FormVersion.form_id == form.form_id)):
        former.state = VersionState.CLOSING
    session.flush()
    row = builders.form(session, form.form_id, form.version)
    row.xform, row.md5, row.content_hash = form.xform, form.md5, form.content_hash
    row.definition = form_json.to_json(form)
    session.flush()
    return row


def publish_rules(session: Session, markdown: str = RULES) -> RulebookVersion:
    rulebook = read_rules(from_markdown(markdown)).require()
    for former in session.scalars(select(RulebookVersion)):
        former.state = VersionState.CLOSED
    session.flush()
    row = builders.rulebook(session, rulebook.settings.rulebook_id, rulebook.settings.version)
    row.content_hash, row.rulebook = rulebook.content_hash, model.to_json(rulebook)
    session.flush()
    return row


def consent(
    session: Session, client: Client, service: str, state: ConsentState = ConsentState.GIVEN, at: datetime = NOW
) -> Consent:
    row = Consent(
        id=uuid.uuid4(), client_id=client.id, service=service, state=state, given_on=at.date(), recorded_at=at
    )
    session.add(row)
    session.flush()
    return row


@dataclass
class Town:
    """An installation with the small programme in force and a worker of North 1; `sends` is what her phone does."""

    sessions: sessionmaker[Session]
    vault: Vault
    reading: sessionmaker[Session] = field(init=False)
    desk: Desk = field(init=False)
    worker: uuid.UUID = field(init=False)
    supervisor: uuid.UUID = field(init=False)

    def __post_init__(self) -> None:
        self.reading = database.reading_sessions(self.sessions.kw["bind"])
        self.desk = Desk(self.vault)
        with self.sessions.begin() as session:
            publish(session)
            self.worker = builders.user(session, Role.ENUMERATOR, "N1").id
            self.supervisor = builders.user(session, Role.SUPERVISOR, "N", compartments=["quiet"]).id

    def receives(
        self,
        given: Mapping[str, Any],
        *,
        form: str = "check",
        version: str = "1",
        at: datetime = NOW,
        by: uuid.UUID | None = None,
        replaces: uuid.UUID | None = None,
    ) -> uuid.UUID:
        """A submission arrives and waits; returns its id. Lists are select_multiple answers."""
        with self.sessions.begin() as session:
            former = session.get(Submission, replaces) if replaces else None
            row = builders.submission(
                session,
                self.vault,
                session.get_one(User, by or self.worker),
                form_id=form,
                received_at=at,
                state=SubmissionState.RECEIVED,
            )
            row.form_version = version
            row.deprecated_instance_id = former.instance_id if former else None
            xml = filled(given, form, version, row.instance_id, row.deprecated_instance_id)
            key = self.vault.key(row.key_id)
            row.sealed_xml, row.xml_digest = self.vault.seal(key, xml, "xml"), self.vault.blind("xml", xml)
            session.add(OutboxRow(submission_id=row.id, available_at=at, tries=0))
            return row.id

    def decides(self, *ids: uuid.UUID, at: datetime = NOW + timedelta(seconds=2), **given: Any) -> list[uuid.UUID]:
        with self.sessions.begin() as session:
            return processing.process(session, ids, now=at, desk=self.desk, **given)

    def sends(self, given: Mapping[str, Any], **more: Any) -> uuid.UUID:
        """A submission arrives and is decided two seconds later."""
        key = self.receives(given, **more)
        self.decides(key, at=more.get("at", NOW) + timedelta(seconds=2))
        return key

    def client(self, session: Session, code: str = "KH-1") -> Client:
        return session.scalars(select(Client).where(Client.code == code)).one()

    def standing(self, session: Session) -> set[str]:
        """Codes of the flags that stand."""
        return set(session.scalars(select(Flag.code).where(Flag.ended_at.is_(None))))

    def referrals(self, session: Session) -> dict[str, Referral]:
        """By service; the newest where there are several."""
        rows = session.scalars(select(Referral).order_by(Referral.created_at, Referral.number))
        return {row.service: row for row in rows}

    def follow_ups(self, session: Session) -> dict[tuple[str, str], FollowUp]:
        return {(row.schedule, row.step): row for row in session.scalars(select(FollowUp).order_by(FollowUp.starts_on))}


def answers(day: str = "2026-03-10", code: str = "KH-1", **given: Any) -> dict[str, Any]:
    """A check-up of somebody who takes part and lets every service know; whatever else the test says."""
    agreed = {"agrees": "yes", "share": ["clinic", "rescue", "advice"]}
    return {"visit_date": day, "client_code": code, **agreed, **given}


def filled(given: Mapping[str, Any], form: str, version: str, instance: str, replaces: str | None = None) -> bytes:
    """Submission XML as a phone writes it; blanks are empty elements."""
    values = {name: " ".join(value) if isinstance(value, list) else str(value) for name, value in given.items()}
    inside = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in values.items())
    former = f"<deprecatedID>{replaces}</deprecatedID>" if replaces else ""
    meta = f"<meta><instanceID>{instance}</instanceID>{former}</meta>"
    return f'<data id="{form}" version="{version}">{inside}{meta}</data>'.encode()


def days(number: int) -> timedelta:
    return timedelta(days=number)


def day(text: str) -> date:
    return date.fromisoformat(text)
