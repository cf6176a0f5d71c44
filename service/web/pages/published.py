"""For programme staff: which forms, rules and programme are published, and their workbooks to download again."""

from __future__ import annotations

import uuid
from urllib.parse import quote

from fastapi import Response

from service.access import Action
from service.queries import versions_list
from service.queries.versions_list import Kind
from service.web.rendering import render
from service.web.routes import pages
from service.web.visitor import Reading, SignedIn, not_found
from service.web.words import N_

router = pages()

_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_HEADINGS = {Kind.FORMS: N_("Biểu mẫu"), Kind.RULES: N_("Sổ quy tắc"), Kind.PROGRAMME: N_("Chương trình")}


@router.get("/published")
def show(visitor: SignedIn, session: Reading) -> Response:
    visitor.require(Action.PUBLISH)
    found = [(kind, heading, versions_list.versions(session, kind)) for kind, heading in _HEADINGS.items()]
    return render(visitor, "published.html", page="published", found=found)


@router.get("/published/{kind}/{version_id}")
def download(visitor: SignedIn, session: Reading, kind: Kind, version_id: uuid.UUID) -> Response:
    visitor.require(Action.PUBLISH)
    found = versions_list.workbook(session, kind, version_id)
    if found is None:
        raise not_found()
    name, content = found
    visitor.witness("workbook.downloaded", kind=kind.value, object_id=str(version_id))
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}
    return Response(content, 200, headers, _XLSX)
