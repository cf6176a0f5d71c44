"""JavaRosa as the oracle: what ODK Collect's own engine stores for a form and its answers.

The jar comes with pyxform (ODK Validate carries JavaRosa 5.1.0). Tests that use this carry `@pytest.mark.jdk`.

    values = evaluate(xform, {"/data/a": 5})          # one form, one filling
    with Oracle() as phone:                           # many
        filled = phone.fill(xform, {"/data/a": 5}, rows={"/data/child": 2})
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import importlib.util
import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

_SOURCE = Path(__file__).with_name("Oracle.java")

Given = str | int | float | Sequence[str] | None


class OracleFailed(Exception):
    """JavaRosa could not load the form or evaluate it; the message is its own."""


@dataclass(frozen=True)
class Filled:
    """A form as the phone left it. Paths are absolute: `/data/child[2]/age`, the first row without its number.

    `values` hold what the phone stores, "" for blank, None where the node is not relevant. `refused` is path → why
    (not asked, no such choice, not of this type, read only, constraint); `messages` the constraint messages among
    them. `missing` are required questions that stand open.
    """

    values: Mapping[str, str | None]
    refused: Mapping[str, str]
    messages: Mapping[str, str]
    missing: tuple[str, ...]
    submission: str

    def value(self, name: str) -> str:
        """The only node of this name; "" where it is blank or not relevant."""
        found = [value for path, value in self.values.items() if path.rsplit("/", 1)[-1] == name]
        if len(found) != 1:
            raise KeyError(f"{name}: {len(found)} nodes have this name")
        return found[0] or ""

    def asked(self, name: str) -> bool:
        """Whether the only node of this name is relevant."""
        return next(value for path, value in self.values.items() if path.rsplit("/", 1)[-1] == name) is not None


class Oracle:
    """One Java process for many fillings; close it, or use it in a `with`."""

    def __init__(self, timezone: str = "Asia/Ho_Chi_Minh") -> None:
        self._complaints = tempfile.TemporaryFile(mode="w+", encoding="utf-8")  # noqa: SIM115  # closed with us
        self._process = subprocess.Popen(
            [_tool("java"), f"-Duser.timezone={timezone}", "-cp", f"{jar()}:{_classes()}", "Oracle"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            encoding="utf-8",
        )
        self._known: set[str] = set()

    def fill(
        self,
        xform: str | bytes,
        answers: Mapping[str, Given],
        *,
        rows: Mapping[str, int] | None = None,
        language: str | None = None,
    ) -> Filled:
        """Fill the form in as a phone does. Raises OracleFailed."""
        text = xform.decode() if isinstance(xform, bytes) else xform
        key = hashlib.sha256(text.encode()).hexdigest()
        request = {"key": key, "answers": dict(answers), "rows": dict(rows or {}), "language": language}
        if key not in self._known:
            request["xform"] = text
            self._known.add(key)
        reply = self._ask(request)
        if "error" in reply:
            raise OracleFailed(reply["error"])
        refused = {item["path"]: item["why"] for item in reply["refused"]}
        messages = {item["path"]: item["message"] for item in reply["refused"] if item["message"]}
        return Filled(reply["values"], refused, messages, tuple(reply["missing"]), reply["submission"])

    def _ask(self, request: Mapping[str, object]) -> dict:  # type: ignore[type-arg]  # JSON of many shapes
        pipe_in, pipe_out = self._process.stdin, self._process.stdout
        assert pipe_in is not None and pipe_out is not None  # noqa: PT018  # both were asked for above
        try:
            pipe_in.write(json.dumps(request) + "\n")
            pipe_in.flush()
            line = pipe_out.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._complaints.seek(0)
            raise OracleFailed(self._complaints.read())
        return json.loads(line)

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait(timeout=30)
        self._complaints.close()

    def __enter__(self) -> Oracle:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


@functools.cache
def shared_oracle(timezone: str = "Asia/Ho_Chi_Minh") -> Oracle:
    """One process per zone for the whole test run."""
    oracle = Oracle(timezone)
    atexit.register(oracle.close)
    return oracle


def evaluate(
    xform: str | bytes,
    answers: Mapping[str, Given],
    *,
    rows: Mapping[str, int] | None = None,
    timezone: str = "Asia/Ho_Chi_Minh",
) -> Mapping[str, str | None]:
    """What JavaRosa stores in every node, calculates among them. Raises OracleFailed where it refuses the form."""
    return shared_oracle(timezone).fill(xform, answers, rows=rows).values


def jar() -> Path:
    """ODK Validate as pyxform brings it."""
    found = importlib.util.find_spec("pyxform")
    assert found is not None and found.origin is not None  # noqa: PT018  # pyxform is a dependency of ours
    return Path(found.origin).parent / "validators" / "odk_validate" / "bin" / "ODK_Validate.jar"


@functools.cache
def _classes() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="ketnoi-oracle-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    command = [_tool("javac"), "-nowarn", "-encoding", "UTF-8", "-cp", str(jar()), "-d", str(folder), str(_SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OracleFailed(done.stderr)
    return folder


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise OracleFailed(f"{name} is not on the path: install a JDK")
    return found
