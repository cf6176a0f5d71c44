import asyncio
from dataclasses import dataclass, field

import pytest

from service.web.multipart import Body, BodyRefused, Limits, Upload
from tests.phone import multipart

LIMITS = Limits(xml_bytes=5_000_000, body_bytes=20_000_000)


@dataclass
class Shelf:
    """Where files go in these tests; remembers what became of each."""

    files: dict[str, "File"] = field(default_factory=dict)

    def open(self, name: str) -> "File":
        self.files[name] = File()
        return self.files[name]


@dataclass
class File:
    content: bytearray = field(default_factory=bytearray)
    state: str = "open"

    def write(self, chunk: bytes) -> None:
        self.content += chunk

    def close(self) -> None:
        self.state = "closed"

    def discard(self) -> None:
        self.state = "discarded"


@dataclass
class Wire:
    """A request's body as it comes off the network, `piece` bytes at a time."""

    body: bytes
    piece: int = 65536
    sent: int = 0

    async def stream(self):
        while self.sent < len(self.body):
            chunk = self.body[self.sent : self.sent + self.piece]
            self.sent += len(chunk)
            yield chunk


async def _in_place(work) -> None:
    work()


def _read(wire: Wire, content_type: str, *, shelf: Shelf | None = None, limits=LIMITS, declared=None) -> Upload[File]:
    body = Body(content_type, declared, limits, (shelf or Shelf()).open)

    async def receive() -> None:
        await body.receive(wire.stream(), _in_place)

    asyncio.run(receive())
    return body.finish()


@pytest.mark.parametrize("piece", [1, 7, 65536])
def test_an_upload_is_read_whatever_the_pieces_it_comes_in(piece):
    files = {"ảnh.jpg": b"\xff\xd8\r\n--\r\n" * 50, "audit.csv": b""}
    body, content_type = multipart(b"<a/>", files)
    upload = _read(Wire(body, piece), content_type)
    assert upload.xml == b"<a/>"
    assert {name: bytes(file.content) for name, file in upload.files.items()} == files
    assert {file.state for file in upload.files.values()} == {"closed"}
    assert not upload.incomplete


def test_a_part_of_more_to_come_says_so():
    body, content_type = multipart(b"<a/>", {"1.jpg": b"1"}, incomplete=True)
    assert _read(Wire(body), content_type).incomplete


def test_collect_s_hundred_and_one_files_are_taken():
    body, content_type = multipart(b"<a/>", {f"{n}.txt": b"x" for n in range(101)}, incomplete=True)
    assert len(_read(Wire(body), content_type).files) == 101


def test_too_many_files_are_refused_and_none_is_kept():
    body, content_type = multipart(b"<a/>", {f"{n}.txt": b"x" for n in range(300)})
    shelf = Shelf()
    with pytest.raises(BodyRefused) as caught:
        _read(Wire(body), content_type, shelf=shelf)
    assert caught.value.status == 413
    assert {file.state for file in shelf.files.values()} == {"discarded"}


def test_a_quote_in_a_file_name_comes_back():
    body, content_type = multipart(b"<a/>", {'nhà "số 1".jpg': b"x"})
    assert list(_read(Wire(body), content_type).files) == ['nhà "số 1".jpg']


def test_a_file_name_has_no_folder():
    body, content_type = multipart(b"<a/>", {"../../etc/passwd": b"x"})
    assert list(_read(Wire(body), content_type).files) == ["passwd"]


def test_a_name_sent_twice_counts_once_and_the_first_file_is_not_left_behind():
    body, content_type = multipart(b"<a/>", {"dir1/a.jpg": b"1", "dir2/a.jpg": b"2"})
    opened: list[File] = []

    def open_file(_: str) -> File:
        opened.append(File())
        return opened[-1]

    reader = Body(content_type, None, LIMITS, open_file)
    asyncio.run(reader.receive(Wire(body).stream(), _in_place))
    upload = reader.finish()
    assert {name: bytes(file.content) for name, file in upload.files.items()} == {"a.jpg": b"2"}
    assert [file.state for file in opened] == ["discarded", "closed"]


def test_fields_that_we_do_not_know_are_let_pass():
    body, content_type = multipart(b"<a/>", {})
    boundary = content_type.partition("boundary=")[2].encode()
    extra = b"--" + boundary + b'\r\nContent-Disposition: form-data; name="deviceID"\r\n\r\nx\r\n'
    assert _read(Wire(extra + body), content_type).xml == b"<a/>"


def test_a_body_without_the_answers_is_refused():
    body, content_type = multipart(b"<a/>", {"1.jpg": b"1"})
    shelf = Shelf()
    with pytest.raises(BodyRefused) as caught:
        _read(Wire(body.replace(b"xml_submission_file", b"something_else")), content_type, shelf=shelf)
    assert caught.value.status == 400
    assert "xml_submission_file" in caught.value.problem.vi
    assert {file.state for file in shelf.files.values()} == {"discarded"}


@pytest.mark.parametrize("content_type", ["", "text/xml", "multipart/form-data", "multipart/form-data; boundary="])
def test_another_kind_of_body_is_refused(content_type):
    wire = Wire(b"<a/>" * 500_000)
    with pytest.raises(BodyRefused) as caught:
        _read(wire, content_type)
    assert caught.value.status == 400
    assert wire.sent == len(wire.body)


@pytest.mark.parametrize("kept", [0, 30, 200, -3])
def test_a_body_that_breaks_off_is_refused(kept):
    body, content_type = multipart(b"<a/>", {"1.jpg": b"1" * 500})
    shelf = Shelf()
    with pytest.raises(BodyRefused) as caught:
        _read(Wire(body[: kept - 20 if kept < 0 else kept]), content_type, shelf=shelf)
    assert caught.value.status == 400
    assert {file.state for file in shelf.files.values()} <= {"discarded"}


def test_answers_over_the_limit_are_refused():
    body, content_type = multipart(b"x" * 5_000_001, {})
    with pytest.raises(BodyRefused) as caught:
        _read(Wire(body), content_type)
    assert caught.value.status == 413
    assert "5 MB" in caught.value.problem.vi


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_the_limit_is_read_to_its_end_and_refused(declared):
    """Read to its end, because Collect hears nothing before it has said everything; the answers are handed over."""
    body, content_type = multipart(b"<a/>", {"film.mp4": bytes(60_000_000)})
    wire, shelf = Wire(body), Shelf()
    with pytest.raises(BodyRefused) as caught:
        _read(wire, content_type, shelf=shelf, declared=len(body) if declared else None)
    assert (caught.value.status, caught.value.xml) == (413, b"<a/>")
    assert "20 MB" in caught.value.problem.en
    assert wire.sent == len(body)
    (film,) = shelf.files.values()
    assert film.state == "discarded"
    assert len(film.content) <= (1_000_000 if declared else LIMITS.body_bytes)


def test_an_endless_body_is_not_read_for_ever():
    body, content_type = multipart(b"<a/>", {"film.mp4": bytes(60_000_000)})
    wire = Wire(body)
    with pytest.raises(BodyRefused):
        _read(wire, content_type, limits=Limits(5_000_000, 20_000_000, drain_bytes=10_000_000))
    assert wire.sent < 31_000_000


def test_a_phone_that_hangs_up_leaves_no_file():
    body, content_type = multipart(b"<a/>", {"film.mp4": bytes(2_000_000)})
    shelf = Shelf()

    class HungUp(Exception):
        pass

    async def stream():
        yield body[:1_000_000]
        raise HungUp

    async def receive() -> None:
        await Body(content_type, None, LIMITS, shelf.open).receive(stream(), _in_place)

    with pytest.raises(HungUp):
        asyncio.run(receive())
    assert shelf.files["film.mp4"].state == "discarded"
