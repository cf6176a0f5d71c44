"""The envelope of a submission: which form, which version, which instance; no answer is read here.

A document type declaration is refused before it is parsed, so no entity is ever defined; should one be hidden by its
encoding, entities are left unresolved, nothing is fetched, and libxml2's own limits of depth and size stay on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from lxml import etree

from forms.sheets import Text

#: What the columns of the database hold.
MAX_NAME: Final = 255

#: Where the root element begins; a DOCTYPE can only stand before it.
_ROOT: Final = re.compile(rb"<[^?!]")
_TOO_DEEP: Final = frozenset({etree.ErrorTypes.ERR_RESOURCE_LIMIT, etree.ErrorTypes.ERR_INTERNAL_ERROR})


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a server must know of a submission before it reads any answer.

    `version` is "" where the form has none; `deprecated_id` is the instanceID that an edited submission replaces.
    `encrypted`: the XML is only the manifest of an encrypted submission, the answers come as an attached file.
    """

    form_id: str
    version: str
    instance_id: str
    deprecated_id: str | None = None
    encrypted: bool = False


class SubmissionProblem(ValueError):
    """A submission that cannot be taken. `code` is stable: malformed, doctype, too-deep, no-form-id, no-instance-id,
    name-too-long. `form_id` is what could still be read of it, else "".
    """

    def __init__(self, code: str, problem: Text, form_id: str = "") -> None:
        super().__init__(problem.en)
        self.code, self.problem, self.form_id = code, problem, form_id


def read_envelope(xml: bytes) -> Envelope:
    """The envelope of `xml`; raises SubmissionProblem.

    `meta` is the root's child of that local name in any namespace: the form's own, none, or OpenRosa's.
    """
    root = _parse(xml)
    envelope = Envelope(
        form_id=_attribute(root, "id"),
        version=_attribute(root, "version"),
        instance_id=_meta(root, "instanceID"),
        deprecated_id=_meta(root, "deprecatedID") or None,
        encrypted=_attribute(root, "encrypted").lower() == "yes",
    )
    _require_names(envelope)
    return envelope


def _require_names(envelope: Envelope) -> None:
    if not envelope.form_id:
        raise SubmissionProblem(
            "no-form-id",
            Text(
                vi="Bài gửi không cho biết mã biểu mẫu (thuộc tính id). Hãy tải lại biểu mẫu.",
                en="The submission does not say which form it is (attribute id). Download the form again.",
            ),
        )
    if not envelope.instance_id:
        raise SubmissionProblem(
            "no-instance-id",
            Text(
                vi="Bài gửi không có mã riêng (meta/instanceID) nên không thể nhận. Hãy tải lại biểu mẫu và báo "
                "quản trị.",
                en="The submission has no meta/instanceID and cannot be taken. Download the form again and tell the "
                "administrator.",
            ),
            envelope.form_id,
        )
    names = (envelope.form_id, envelope.version, envelope.instance_id, envelope.deprecated_id or "")
    if any(len(name) > MAX_NAME for name in names):
        raise SubmissionProblem(
            "name-too-long",
            Text(
                vi=f"Mã biểu mẫu, phiên bản hoặc mã bài gửi dài quá {MAX_NAME} ký tự. Hãy báo quản trị.",
                en=f"The form id, version or instanceID is longer than {MAX_NAME} characters. Tell the administrator.",
            ),
            envelope.form_id[:MAX_NAME],
        )


def _parse(xml: bytes) -> etree._Element:
    root_at = _ROOT.search(xml)
    if b"<!DOCTYPE" in xml[: root_at.start() if root_at else None]:
        raise _doctype()
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(xml, parser)
    except etree.XMLSyntaxError as error:
        # `code` is libxml2's number of the error; the stubs of lxml do not know it.
        raise _too_deep() if getattr(error, "code", None) in _TOO_DEEP else _malformed(error) from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise _doctype()
    return root


def _attribute(root: etree._Element, name: str) -> str:
    """The root's attribute; one without a namespace goes before one with."""
    value = root.get(name)
    if value is None:
        value = next((str(v) for key, v in root.attrib.items() if etree.QName(key).localname == name), "")
    return value.strip()


def _meta(root: etree._Element, name: str) -> str:
    found = (node.text or "" for meta in root.iterchildren("{*}meta") for node in meta.iterchildren(f"{{*}}{name}"))
    return next((text.strip() for text in found if text.strip()), "")


def _malformed(error: etree.XMLSyntaxError) -> SubmissionProblem:
    return SubmissionProblem(
        "malformed",
        Text(
            vi=f"Bài gửi không phải XML đọc được (dòng {error.lineno}). Hãy gửi lại; nếu vẫn lỗi, báo quản trị.",
            en=f"The submission is not readable XML (line {error.lineno}). Send it again; if that fails, tell the "
            "administrator.",
        ),
    )


def _doctype() -> SubmissionProblem:
    return SubmissionProblem(
        "doctype",
        Text(
            vi="Bài gửi có khai báo DOCTYPE, thứ không biểu mẫu nào cần; máy chủ không nhận.",
            en="The submission has a DOCTYPE declaration, which no form needs; the server does not take it.",
        ),
    )


def _too_deep() -> SubmissionProblem:
    return SubmissionProblem(
        "too-deep",
        Text(
            vi="Bài gửi lồng quá nhiều tầng, phình to khi đọc hoặc có câu trả lời dài quá 10 MB; máy chủ không nhận.",
            en="The submission nests too deep, swells when read or holds an answer over 10 MB; it cannot be taken.",
        ),
    )
