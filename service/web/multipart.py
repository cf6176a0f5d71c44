"""A submission's multipart/form-data body, read as it arrives, in bounded memory.

Starlette's own form() spools to disk in clear; here each file goes straight to a sink that seals it, and only the XML
is held in memory. Reading waits on the network in the event loop, so that a slow phone holds no thread; parsing and
sealing run in a thread, a few hundred kilobytes at a time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from forms.sheets import Text
from integrations.odk.openrosa import INCOMPLETE_FIELD, XML_FIELD

#: Bytes gathered from the network before a thread parses them; a usual submission arrives in one piece.
FEED_BYTES: Final = 256 * 1024

#: Runs a function in a thread.
InThread = Callable[[Callable[[], None]], Awaitable[None]]


class Sink(Protocol):
    """Where a file goes while it arrives. After `close` the file is durable; after `discard` nothing is left of it."""

    def write(self, chunk: bytes) -> None: ...

    def close(self) -> None: ...

    def discard(self) -> None: ...


S = TypeVar("S", bound=Sink)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, but for `parts`. `body_bytes` bounds everything that one request stores; up to `drain_bytes` of what is
    beyond it is read and dropped, so that the phone gets to read the answer.
    """

    xml_bytes: int
    body_bytes: int
    parts: int = 250
    drain_bytes: int = 500_000_000


class BodyRefused(ValueError):
    """A body that cannot be taken, with an HTTP status. `xml` is the form's answers where they had come by then.

    `code`: too-large, too-many-files (413); unreadable, no-answers (400).
    """

    def __init__(self, status: int, code: str, problem: Text) -> None:
        super().__init__(problem.en)
        self.status, self.code, self.problem, self.xml = status, code, problem, b""


@dataclass(slots=True)
class Upload(Generic[S]):
    """What one POST brought. `files` holds closed sinks by file name; a name sent twice counts once, the last."""

    xml: bytes = b""
    files: dict[str, S] = field(default_factory=dict)
    incomplete: bool = False

    def discard(self) -> None:
        """Leave nothing of the files, since nobody will refer to them."""
        for sink in self.files.values():
            sink.discard()
        self.files.clear()


class Body(Generic[S]):
    """One request's body: `receive` it in the event loop, then `finish` it in a thread. Both raise BodyRefused.

    Whatever is raised, no file is left behind, and the rest of the body has been read and dropped.
    """

    def __init__(
        self, content_type: str, declared_bytes: int | None, limits: Limits, open_sink: Callable[[str], S]
    ) -> None:
        self._limits = limits
        self._declared_too_large = declared_bytes is not None and declared_bytes > limits.body_bytes
        self._parts = _Parts(content_type, limits, open_sink)
        self._rest = b""

    async def receive(self, stream: AsyncIterator[bytes], in_thread: InThread) -> None:
        try:
            self._rest = await self._feed_all(stream, in_thread)
        except BodyRefused as refused:
            refused.xml = self._parts.upload.xml
            self._parts.upload.discard()
            await drain(stream, self._limits.drain_bytes)
            raise
        except BaseException:
            self._parts.upload.discard()
            raise

    def finish(self) -> Upload[S]:
        """The whole upload, its files closed."""
        try:
            self._parts.feed(self._rest)
            return self._parts.finish()
        except BaseException as error:
            if isinstance(error, BodyRefused):
                error.xml = self._parts.upload.xml
            self._parts.upload.discard()
            raise

    async def _feed_all(self, stream: AsyncIterator[bytes], in_thread: InThread) -> bytes:
        size, pending = 0, bytearray()
        async for chunk in stream:
            size += len(chunk)
            # Where the length was declared, only the XML is of use: it says what the phone will not get rid of.
            if size > self._limits.body_bytes or (self._declared_too_large and self._parts.upload.xml):
                raise _too_large(self._limits.body_bytes)
            pending += chunk
            if len(pending) >= FEED_BYTES:
                gathered, pending = bytes(pending), bytearray()
                await in_thread(partial(self._parts.feed, gathered))
        return bytes(pending)


async def drain(stream: AsyncIterator[bytes], limit: int) -> None:
    """Read and drop up to `limit` bytes.

    Collect reads no answer before it has written its whole request: without this it would report a broken
    connection in place of what we have to say.
    """
    async for chunk in stream:
        limit -= len(chunk)
        if limit < 0:
            return


class _Parts(Generic[S]):
    """The parser's callbacks: which part we are in, and where its bytes go."""

    def __init__(self, content_type: str, limits: Limits, open_sink: Callable[[str], S]) -> None:
        self.upload: Upload[S] = Upload()
        self._limits, self._open_sink = limits, open_sink
        self._seen = 0
        self._ended = False
        self._header = (bytearray(), bytearray())
        self._disposition = b""
        self._xml = bytearray()
        self._value = bytearray()
        self._write: Callable[[bytes], None] = _ignore
        self._end: Callable[[], None] = _nothing
        self._content_type = content_type
        self._parser: MultipartParser | None = None

    def feed(self, data: bytes) -> None:
        if self._parser is None:
            self._parser = self._new_parser()
        try:
            self._parser.write(data)
        except FormParserError:
            raise _unreadable() from None

    def _new_parser(self) -> MultipartParser:
        return MultipartParser(
            _boundary(self._content_type),
            {
                "on_part_begin": self._on_part_begin,
                "on_header_begin": self._on_header_begin,
                "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": lambda data, start, end: self._write(data[start:end]),
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
        )

    def finish(self) -> Upload[S]:
        if not self._ended:
            raise _unreadable()
        if not self.upload.xml:
            raise BodyRefused(
                400,
                "no-answers",
                Text(
                    vi="Bài gửi thiếu phần câu trả lời (xml_submission_file). Hãy gửi lại.",
                    en="The upload lacks the answers (xml_submission_file). Send it again.",
                ),
            )
        for sink in self.upload.files.values():
            sink.close()
        return self.upload

    def _on_part_begin(self) -> None:
        self._seen += 1
        if self._seen > self._limits.parts:
            raise BodyRefused(
                413,
                "too-many-files",
                Text(
                    vi=f"Một lần gửi có quá {self._limits.parts} tệp. Hãy báo quản trị.",
                    en=f"One upload has more than {self._limits.parts} files. Tell the administrator.",
                ),
            )
        self._disposition = b""
        self._write, self._end = _ignore, _nothing

    def _on_header_begin(self) -> None:
        self._header = (bytearray(), bytearray())

    def _on_header_end(self) -> None:
        if bytes(self._header[0]).lower() == b"content-disposition":
            self._disposition = bytes(self._header[1])

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        name, file_name = _text(options.get(b"name", b"")), _file_name(_text(options.get(b"filename", b"")))
        if name == XML_FIELD:
            self._xml.clear()
            self._write, self._end = self._take_xml, self._xml_ended
        elif file_name:
            self._write = self._sink(file_name).write
        elif name == INCOMPLETE_FIELD:
            self._value.clear()
            self._write, self._end = self._take_value, self._value_ended

    def _on_part_end(self) -> None:
        self._end()

    def _sink(self, file_name: str) -> S:
        if file_name in self.upload.files:
            self.upload.files.pop(file_name).discard()
        sink = self._open_sink(file_name)
        self.upload.files[file_name] = sink
        return sink

    def _take_xml(self, data: bytes) -> None:
        if len(self._xml) + len(data) > self._limits.xml_bytes:
            raise _too_large(self._limits.xml_bytes)
        self._xml += data

    def _xml_ended(self) -> None:
        self.upload.xml = bytes(self._xml)

    def _take_value(self, data: bytes) -> None:
        # Collect writes "yes"; no more than that word is of interest.
        self._value += data[: 16 - len(self._value)]

    def _value_ended(self) -> None:
        self.upload.incomplete = bytes(self._value).strip().lower() == b"yes"

    def _on_end(self) -> None:
        self._ended = True


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    # RFC 2046 allows 70 characters.
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 70:
        raise _unreadable()
    return boundary


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _file_name(written: str) -> str:
    """The name as the answers write it: OkHttp escapes these three characters and no other."""
    name = written.replace("%22", '"').replace("%0A", "\n").replace("%0D", "\r")
    return name.rpartition("/")[2]


def _ignore(_: bytes) -> None:
    """A plain field that we do not know: other clients send some."""


def _nothing() -> None:
    pass


def _unreadable() -> BodyRefused:
    return BodyRefused(
        400,
        "unreadable",
        Text(
            vi="Bài gửi bị đứt quãng hoặc không đúng dạng multipart/form-data. Hãy gửi lại khi mạng tốt hơn.",
            en="The upload broke off or is not multipart/form-data. Send it again with a better connection.",
        ),
    )


def _too_large(limit: int) -> BodyRefused:
    megabytes = limit // 1_000_000
    return BodyRefused(
        413,
        "too-large",
        Text(
            vi=f"Bài gửi lớn quá {megabytes} MB nên máy chủ không nhận. Hãy giảm cỡ ảnh hoặc video rồi gửi lại.",
            en=f"The upload is larger than {megabytes} MB. Make the pictures or videos smaller and send it again.",
        ),
    )
