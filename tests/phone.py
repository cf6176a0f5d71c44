"""A phone that speaks OpenRosa as ODK Collect does, for tests: list, download, HEAD, send in parts, Digest.

It is as strict as Collect where strictness loses data or shows a wrong thing to its user: see `Refused`.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

import httpx
from lxml import etree

from service import clock

_LIST = "{http://openrosa.org/xforms/xformsList}"
_MANIFEST = "{http://openrosa.org/xforms/xformsManifest}"
_USER_AGENT = "org.odk.collect.android/v2026.3.0 Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8)"
#: Collect closes a batch after this many files, whatever their size.
_FILES_PER_POST = 101


class Refused(Exception):
    """What Collect would show to its user in place of "Success"."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message


@dataclass(frozen=True)
class Listed:
    """An entry of the form list. `hash` is without its `md5:`."""

    form_id: str
    name: str
    version: str
    hash: str
    download_url: str
    manifest_url: str | None


@dataclass(frozen=True)
class Blank:
    """A downloaded form: its XForm and its media by file name."""

    xform: bytes
    media: Mapping[str, bytes]


@dataclass
class Phone:
    """`server_url` as typed into Collect. A context manager; `client` may be given to speak to an app in memory."""

    server_url: str
    username: str = ""
    password: str = ""
    device_id: str = field(default_factory=lambda: f"collect:{secrets.token_hex(8)}")
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60, trust_env=False))

    def __post_init__(self) -> None:
        self.server_url = self.server_url.rstrip("/")
        self._challenge: dict[str, str] = {}
        self._cnonce, self._count = "", 0
        #: How often the server asked who we are.
        self.challenged = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.client.close()

    # ---- blank forms

    def forms(self, form_id: str = "") -> list[Listed]:
        """The form list; one bad entry spoils it whole. Raises Refused."""
        query = {"formID": form_id} if form_id else {}
        root = self._document(f"{self.server_url}/formList", f"{_LIST}xforms", query)
        return [_listed(entry) for entry in root.iterchildren(f"{_LIST}xform")]

    def download(self, form: Listed) -> Blank:
        """The XForm and every file of its manifest; one that is missing spoils the form. Raises Refused."""
        xform = self._content(form.download_url)
        media = {}
        if form.manifest_url:
            root = self._document(form.manifest_url, f"{_MANIFEST}manifest")
            for entry in root.iterchildren(f"{_MANIFEST}mediaFile"):
                name, url = entry.findtext(f"{_MANIFEST}filename"), entry.findtext(f"{_MANIFEST}downloadUrl")
                assert name
                assert url
                media[name] = self._content(url)
        return Blank(xform, media)

    # ---- filled-in forms

    def send(self, xml: bytes, files: Mapping[str, bytes] | None = None) -> str:
        """Send a submission in as many parts as the server's limit asks for; gives its last message. Raises Refused."""
        target, limit = self.prepare()
        batches = _batches(len(xml), files or {}, limit)
        message = ""
        for number, batch in enumerate(batches, 1):
            message = self.post(xml, batch, incomplete=number < len(batches), target=target)
        return message

    def prepare(self) -> tuple[str, int]:
        """Where to send and how many bytes at once, from the answer to HEAD. Raises Refused where a login is asked."""
        target = f"{self.server_url}/submission"
        answer = self.request("HEAD", target)
        if answer.status_code == 401:
            raise Refused(401, "asks for credentials")
        if answer.status_code != 204:
            return target, 10_000_000
        location = unquote(answer.headers.get("location", ""))
        assert not location or urlsplit(location).hostname == urlsplit(target).hostname, location
        return location or target, int(answer.headers.get("x-openrosa-accept-content-length", 10_000_000))

    def post(
        self, xml: bytes, files: Mapping[str, bytes] | None = None, *, incomplete: bool = False, target: str = ""
    ) -> str:
        """One POST. Only 201 and 202 mean "sent"; anything else raises Refused with what Collect would show."""
        body, content_type = multipart(xml, files or {}, incomplete=incomplete)
        answer = self.request("POST", target or f"{self.server_url}/submission", body, content_type)
        message = response_message(answer.content)
        if answer.status_code not in (201, 202):
            raise Refused(answer.status_code, message or "(no message)")
        return message

    # ---- HTTP as Collect speaks it

    def request(
        self,
        method: str,
        url: str,
        content: bytes = b"",
        content_type: str = "",
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One request with Collect's headers and deviceID, and with the login where it is asked for."""
        request = self.client.build_request(
            method,
            httpx.URL(url).copy_merge_params({**(query or {}), "deviceID": self.device_id}),
            content=content or None,
            headers=self._headers(content_type) | dict(headers or {}),
        )
        answer = self._send(request)
        if answer.status_code == 401 and self.username and self._learn(answer):
            answer = self._send(request)
        return answer

    def _send(self, request: httpx.Request) -> httpx.Response:
        if self._challenge:
            target = request.url.raw_path.decode("ascii")
            request.headers["Authorization"] = self._authorization(request.method, target)
        return self.client.send(request)

    def _headers(self, content_type: str) -> dict[str, str]:
        headers = {
            "User-Agent": _USER_AGENT,
            "X-OpenRosa-Version": "1.0",
            # The hours of Collect's clock go to twelve, and it does not say which twelve.
            "Date": f"{clock.now():%a, %d %b %Y %I:%M:%S GMT}",
            "Accept-Encoding": "gzip",
        }
        return headers | ({"Content-Type": content_type} if content_type else {})

    def _learn(self, answer: httpx.Response) -> bool:
        """Take the first Digest challenge; False where trying again would be of no use."""
        self.challenged += 1
        for line in answer.headers.get_list("www-authenticate"):
            if not re.match(r'Digest .*?realm="', line):
                continue
            found = {
                name.lower(): quoted or bare
                for name, quoted, bare in re.findall(r'([\w-]+)=(?:"([^"]*)"|([^\s,]+))', line)
            }
            tried = "authorization" in answer.request.headers
            self._challenge = {} if tried and found.get("stale") != "true" else found
            self._cnonce, self._count = secrets.token_hex(8), 0
            return bool(self._challenge)
        return False

    def _authorization(self, method: str, target: str) -> str:
        realm, nonce = self._challenge["realm"], self._challenge["nonce"]
        charset = self._challenge.get("charset", "ascii")
        self._count += 1
        count = f"{self._count:08x}"
        first = _md5(f"{self.username}:{realm}:{self.password}".encode(charset, "replace"))
        second = _md5(f"{method}:{target}".encode())
        response = _md5(f"{first}:{nonce}:{count}:{self._cnonce}:auth:{second}".encode())
        opaque = f', opaque="{self._challenge["opaque"]}"' if "opaque" in self._challenge else ""
        return (
            f'Digest username="{self.username}", realm="{realm}", nonce="{nonce}", uri="{target}", '
            f'response="{response}", qop=auth, nc={count}, cnonce="{self._cnonce}", algorithm=MD5{opaque}'
        )

    def _content(self, url: str) -> bytes:
        answer = self.request("GET", url)
        if answer.status_code != 200:
            raise Refused(answer.status_code, response_message(answer.content) or "(no message)")
        return answer.content

    def _document(self, url: str, root_tag: str, query: Mapping[str, str] | None = None) -> etree._Element:
        answer = self.request("GET", url, query=query)
        if answer.status_code != 200:
            raise Refused(answer.status_code, response_message(answer.content) or "(no message)")
        if "x-openrosa-version" not in answer.headers or "text/xml" not in answer.headers["content-type"]:
            raise Refused(answer.status_code, "is no OpenRosa server")
        root = etree.fromstring(answer.content)
        assert root.tag == root_tag
        return root


def instance_id() -> str:
    """A new instanceID as Collect makes it."""
    return f"uuid:{uuid.uuid4()}"


def multipart(xml: bytes, files: Mapping[str, bytes], *, incomplete: bool = False) -> tuple[bytes, str]:
    """Body and content type as OkHttp writes them: raw UTF-8 names, no length inside the parts."""
    boundary = str(uuid.uuid4())
    body = bytearray()

    def part(name: str, content: bytes, file_name: str | None, kind: str) -> None:
        disposition = f'form-data; name="{_escaped(name)}"'
        if file_name is not None:
            disposition += f'; filename="{_escaped(file_name)}"\r\nContent-Type: {kind}'
        body.extend(f"--{boundary}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + content + b"\r\n")

    part("xml_submission_file", xml, "instance.xml", "text/xml")
    for file_name, content in files.items():
        part(file_name, content, file_name, "application/octet-stream")
    if incomplete:
        part("*isIncomplete*", b"yes", None, "")
    body.extend(f"--{boundary}--\r\n".encode())
    return bytes(body), f"multipart/form-data; boundary={boundary}"


def response_message(body: bytes) -> str:
    """What Collect shows of an answer: the first message of an OpenRosaResponse, else ""."""
    if b"OpenRosaResponse" not in body:
        return ""
    return next((node.text or "" for node in etree.fromstring(body).iter("{*}message")), "")


def _listed(entry: etree._Element) -> Listed:
    values = {child.tag.removeprefix(_LIST): child.text or "" for child in entry}
    assert all(values.get(name) for name in ("formID", "name", "downloadUrl")), values
    assert re.fullmatch(r"md5:[0-9a-f]{32}", values["hash"]), values
    return Listed(
        values["formID"],
        values["name"],
        values.get("version", ""),
        values["hash"].removeprefix("md5:"),
        values["downloadUrl"],
        values.get("manifestUrl"),
    )


def _batches(xml_bytes: int, files: Mapping[str, bytes], limit: int) -> list[dict[str, bytes]]:
    """A batch takes at least one file, and ends where the next would pass the limit or the count."""
    batches: list[dict[str, bytes]] = [{}]
    size = xml_bytes
    for name, content in files.items():
        if batches[-1] and (len(batches[-1]) >= _FILES_PER_POST or size + len(content) > limit):
            batches.append({})
            size = xml_bytes
        batches[-1][name] = content
        size += len(content)
    return batches


def _escaped(name: str) -> str:
    return name.replace("\n", "%0A").replace("\r", "%0D").replace('"', "%22")


def _md5(text: bytes) -> str:
    return hashlib.md5(text).hexdigest()
