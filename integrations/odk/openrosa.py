"""OpenRosa wire text: form list, manifest, response messages, headers.

Source: the OpenRosa 1.0 APIs as docs.getodk.org describes them, and what ODK Collect insists on beyond them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lxml import etree

CONTENT_TYPE: Final = "text/xml; charset=utf-8"

#: Belongs on every answer. Without it Collect takes the server for something else than OpenRosa.
HEADERS: Final = {"X-OpenRosa-Version": "1.0"}

ACCEPT_LENGTH_HEADER: Final = "X-OpenRosa-Accept-Content-Length"

#: Collect shows exactly this sentence translated, as its own "Success"; any other sentence appears as it stands.
COMPLETE: Final = "full submission upload was successful!"

#: The plain field with which Collect says that more parts of the same submission follow.
INCOMPLETE_FIELD: Final = "*isIncomplete*"
XML_FIELD: Final = "xml_submission_file"

SUCCESS_NATURE: Final = "submit_success"
ERROR_NATURE: Final = "error"

_LIST: Final = "http://openrosa.org/xforms/xformsList"
_MANIFEST: Final = "http://openrosa.org/xforms/xformsManifest"
_RESPONSE: Final = "http://openrosa.org/http/response"


@dataclass(frozen=True, slots=True)
class ListedForm:
    """One form as Collect lists it.

    `form_id` and `version` must stand so in the XForm too, and `md5` (lower-case hex) must be of the very bytes that
    `download_url` serves: otherwise the phone downloads the form, or deletes it, at every update. URLs are absolute
    and percent-encoded.
    """

    form_id: str
    name: str
    version: str
    md5: str
    download_url: str
    manifest_url: str | None = None


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file beside the form. `filename` has no folder: Collect keeps all media of a form in one."""

    filename: str
    md5: str
    download_url: str


def form_list(forms: Sequence[ListedForm]) -> bytes:
    """The body of `formList`."""
    root = _root(_LIST, "xforms")
    for form in forms:
        entry = etree.SubElement(root, f"{{{_LIST}}}xform")
        _children(
            entry,
            _LIST,
            ("formID", form.form_id),
            ("name", form.name),
            ("version", form.version),
            ("hash", f"md5:{form.md5}"),
            ("downloadUrl", form.download_url),
            # Listed only where there is something to fetch: Collect asks for it at every refresh.
            *((("manifestUrl", form.manifest_url),) if form.manifest_url else ()),
        )
    return _document(root)


def manifest(files: Sequence[MediaFile]) -> bytes:
    """The body of a form's manifest."""
    root = _root(_MANIFEST, "manifest")
    for file in files:
        entry = etree.SubElement(root, f"{{{_MANIFEST}}}mediaFile")
        _children(
            entry,
            _MANIFEST,
            ("filename", file.filename),
            ("hash", f"md5:{file.md5}"),
            ("downloadUrl", file.download_url),
        )
    return _document(root)


def message(text: str, nature: str = SUCCESS_NATURE) -> bytes:
    """An OpenRosaResponse: the only text of a server's answer that Collect shows to its user."""
    root = _root(_RESPONSE, "OpenRosaResponse")
    said = etree.SubElement(root, f"{{{_RESPONSE}}}message", nature=nature)
    said.text = text
    return _document(root)


def _root(namespace: str, name: str) -> etree._Element:
    # The stubs of lxml do not know that None stands for the default namespace.
    return etree.Element(f"{{{namespace}}}{name}", nsmap={None: namespace})  # type: ignore[dict-item]


def _children(parent: etree._Element, namespace: str, *named: tuple[str, str]) -> None:
    for name, text in named:
        etree.SubElement(parent, f"{{{namespace}}}{name}").text = text


def _document(root: etree._Element) -> bytes:
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)
