"""One referral: how far it is, why it is there, what was agreed, what happened; approve, send, decline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Form, Response
from sqlalchemy.orm import Session

from service import access, referrals
from service.access import Action
from service.queries import referral_view
from service.queries.referral_view import ReferralView
from service.referrals import ChangedMeanwhile, NotConsented, ProviderUnfit, Reason, TransitionRefused
from service.tables import Provider, ReferralState
from service.web import dossier, rows, words
from service.web.rendering import go_to, render
from service.web.routes import pages
from service.web.visitor import Reading, Sender, SignedIn, Transaction, Visitor, not_found
from service.web.words import N_

router = pages()

_CHANGED = N_("%(who)s vừa đổi phiếu này lúc %(time)s: nay là “%(state)s”. Việc bạn vừa chọn chưa được làm.")
_UNCONSENTED = N_("Khách hàng chưa đồng ý chia sẻ cho dịch vụ này, nên chưa gửi gì cho cơ sở.")

_Code = Annotated[str, Form(max_length=64)]


@dataclass(frozen=True, slots=True)
class Doable:
    """What this viewer may do with the referral as it stands. Nothing else gets a button."""

    approve: bool = False
    send: bool = False
    decline: bool = False
    #: Where only the client's consent is missing for it.
    needs_consent: bool = False
    providers: Sequence[Provider] = ()


@router.get("/referrals/{number}")
def show(visitor: SignedIn, session: Reading, number: str) -> Response:
    return _page(visitor, session, number)


@router.post("/referrals/{number}/approve")
def approve(visitor: Sender, session: Transaction, number: str, provider: _Code = "") -> Response:
    view = _find(visitor, session, number)
    viewer = visitor.require(Action.APPROVE)
    try:
        done = referrals.approve(session, viewer, view.referral.id, visitor.now, provider or None)
    except (ChangedMeanwhile, NotConsented, ProviderUnfit) as problem:
        return _again(visitor, session, number, problem)
    sent = done.state is ReferralState.SENT
    return go_to(visitor, f"/referrals/{number}", "approved-and-sent" if sent else "approved")


@router.post("/referrals/{number}/send")
def send(visitor: Sender, session: Transaction, number: str, provider: _Code = "") -> Response:
    view = _find(visitor, session, number)
    viewer = visitor.require(Action.APPROVE)
    try:
        referrals.send_to(session, viewer, view.referral.id, visitor.now, provider)
    except (ChangedMeanwhile, NotConsented, ProviderUnfit, TransitionRefused) as problem:
        return _again(visitor, session, number, problem)
    return go_to(visitor, f"/referrals/{number}", "sent")


@router.get("/referrals/{number}/decline")
def ask_why(visitor: SignedIn, session: Reading, number: str) -> Response:
    """The reason is asked on a page of its own: this cannot be undone."""
    view = _find(visitor, session, number)
    if not _doable(visitor, session, view).decline:
        return go_to(visitor, f"/referrals/{number}")
    return _decline_page(visitor, view)


@router.post("/referrals/{number}/decline")
def decline(
    visitor: Sender,
    session: Transaction,
    *,
    number: str,
    reason: _Code = "",
    note: Annotated[str, Form(max_length=4000)] = "",
    was: _Code = "",
) -> Response:
    view = _find(visitor, session, number)
    viewer = visitor.require(Action.DECLINE)
    if reason not in list(Reason):
        problem = visitor.reader.gettext("Chọn một lý do.")
        return _decline_page(visitor, view, problem=problem, typed=note, status=422)
    expected = ReferralState(was) if was in list(ReferralState) else view.referral.state
    try:
        referrals.decline(
            session,
            viewer,
            view.referral.id,
            Reason(reason),
            note=note,
            now=visitor.now,
            vault=visitor.context.vault,
            expected=expected,
        )
    except ChangedMeanwhile as problem:
        return _again(visitor, session, number, problem)
    return go_to(visitor, f"/referrals/{number}", "declined")


def _find(visitor: Visitor, session: Session, number: str) -> ReferralView:
    """The referral, for those who work with its client. A provider has a page of its own. Raises 404."""
    viewer = visitor.require(Action.SEE_FOLLOW_UPS)
    view = referral_view.referral(session, number, access.visible_referrals(viewer, visitor.today))
    if view is None:
        raise not_found()
    return view


def _page(visitor: Visitor, session: Session, number: str, *, problem: str = "", status: int = 200) -> Response:
    view = _find(visitor, session, number)
    referral, reader = view.referral, visitor.reader
    visitor.witness("referral.read", kind="referral", object_id=str(referral.id), client_id=view.client.id)
    doable = _doable(visitor, session, view)
    insight = dossier.insight(visitor, session, view.ground)
    reasons = insight.referral_reasons(referral.service) if insight else ()
    areas = referral_view.labels_of_areas(session)
    return render(
        visitor,
        "referral/one.html",
        status=status,
        page="referrals",
        problem=problem,
        referral=referral,
        client=view.client,
        area=reader.label(areas.get(view.client.area_code or "", {}), view.client.area_code or ""),
        service=reader.label(view.service.labels, referral.service),
        mark=words.URGENCY.get(referral.urgency),
        progress=rows.progress(reader, referral),
        steps=dossier.steps(visitor, referral, waits_for_viewer=doable.approve or doable.needs_consent),
        message=insight.message(reasons) if insight else reader.label(referral.messages),
        whys=insight.whys(reasons) if insight else (),
        protected=referral.decision_id is not None and not (insight and insight.open(reasons)),
        held_back=list(insight.held_back()) if insight else [],
        source=dossier.source(visitor, session, view.ground) if view.ground else None,
        timeline=dossier.timeline(visitor, view),
        consent=view.consent,
        consented=view.consented,
        ruler=rows.ruler(reader, referral, visitor.now),
        provider=rows.provider_words(reader, referral, view.provider),
        worker=view.worker_code,
        doable=doable,
    )


def _doable(visitor: Visitor, session: Session, view: ReferralView) -> Doable:
    referral, next_ = view.referral, referrals.allowed(view.referral)
    may_approve = access.can(visitor.who, Action.APPROVE)
    approve = may_approve and referral.state is ReferralState.PROPOSED
    send = may_approve and ReferralState.SENT in next_ and not referral.internal
    held = (approve or send) and not referral.internal and not view.consented
    providers = (
        referral_view.providers_for(session, referral.service, view.client.area_code)
        if (approve or send) and not referral.internal
        else ()
    )
    return Doable(
        approve=approve and not held,
        send=send and not held and bool(providers),
        decline=access.can(visitor.who, Action.DECLINE) and ReferralState.WITHDRAWN in next_,
        needs_consent=held,
        providers=providers,
    )


def _decline_page(
    visitor: Visitor, view: ReferralView, *, problem: str = "", typed: str = "", status: int = 200
) -> Response:
    return render(
        visitor,
        "referral/decline.html",
        status=status,
        page="referrals",
        referral=view.referral,
        client=view.client,
        service=visitor.reader.label(view.service.labels, view.referral.service),
        reasons=[(reason.value, words.REASON[reason]) for reason in Reason],
        problem=problem,
        typed=typed,
    )


def _again(visitor: Visitor, session: Session, number: str, problem: Exception) -> Response:
    """The referral as it is now, with what stood in the way on top. Nothing of the attempt is kept."""
    session.rollback()
    text, status = _said(visitor, problem)
    with visitor.context.reading() as fresh:
        return _page(visitor, fresh, number, problem=text, status=status)


def _said(visitor: Visitor, problem: Exception) -> tuple[str, int]:
    reader = visitor.reader
    if isinstance(problem, ChangedMeanwhile):
        who = problem.by or reader.gettext("Hệ thống")
        at = reader.time(problem.at) if problem.at else ""
        return reader.gettext(_CHANGED, who=who, time=at, state=reader.gettext(words.STATE[problem.state])), 409
    if isinstance(problem, ProviderUnfit):
        return problem.problem.to(reader.language), 422
    if isinstance(problem, TransitionRefused):
        return reader.gettext("Phiếu này không còn chuyển đi được nữa."), 409
    return reader.gettext(_UNCONSENTED), 409
