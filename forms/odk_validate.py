"""ODK Validate: the form as JavaRosa itself would open it. It ships inside pyxform and needs Java."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

#: Seconds. The slowest of 120 public forms took 3.5 on two shared cores.
TIMEOUT = 60.0

_MEMORY = "-Xmx256m"

#: Lines that say nothing about the form.
_NOISE = re.compile(r"\s*(?:at |\.\.\. \d+ more|Validating: |>> |The following files failed|Result: |$)")
_EXCEPTION = re.compile(r"^[a-z]\w*(?:\.\w+)+(?:Exception|Error): ")
_NODE = re.compile(r"/[^\W\d][\w.-]*(?:\[\d+\])?(?:/[^\W\d][\w.-]*(?:\[\d+\])?)+")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What ODK Validate says. `messages` are its words, without Java's; `nodes` the paths that each one names."""

    valid: bool
    messages: tuple[str, ...] = ()
    timed_out: bool = False


def java_at(java: str | None = None) -> str | None:
    """The Java to run: the one named, else the one on the path; None without one."""
    return shutil.which(java or "java")


def validate(xform: bytes, java: str, *, timeout: float = TIMEOUT) -> Verdict:
    """Open the form in JavaRosa. A timeout (seconds) is no success."""
    with tempfile.TemporaryDirectory() as folder:
        form = Path(folder) / "form.xml"
        form.write_bytes(xform)
        command = [java, _MEMORY, "-Djava.awt.headless=true", "-Dfile.encoding=UTF-8", "-jar", str(_jar()), str(form)]
        try:
            # A fixed command: the Java of our own settings, and a file that we have just written.
            done = subprocess.run(command, capture_output=True, timeout=timeout, check=False)  # noqa: S603
        except subprocess.TimeoutExpired:
            return Verdict(valid=False, timed_out=True)
    said = (done.stdout + b"\n" + done.stderr).decode("utf-8", errors="replace")
    return Verdict(done.returncode == 0, () if done.returncode == 0 else _messages(said))


def nodes_in(message: str) -> tuple[str, ...]:
    """The node paths that a message names, relative to the form's root and without places: `grp/name`."""
    found = (re.sub(r"\[\d+\]", "", item) for item in _NODE.findall(message))
    return tuple(dict.fromkeys(item.lstrip("/").partition("/")[2] for item in found))


def _jar() -> Path:
    package = importlib.util.find_spec("pyxform")
    if package is None or package.origin is None:
        raise FileNotFoundError("pyxform is not installed")
    return Path(package.origin).parent / "validators" / "odk_validate" / "bin" / "ODK_Validate.jar"


def _messages(said: str) -> tuple[str, ...]:
    """One message for each problem: an exception with the lines that belong to it, or a line of its own."""
    found: list[str] = []
    repeated = False
    for line in said.splitlines():
        if line.startswith("Caused by: "):
            repeated = True  # The cause says once more what stands above it.
        elif _NOISE.match(line):
            continue
        elif _EXCEPTION.match(line):
            repeated = False
            found.append(_EXCEPTION.sub("", line).strip())
        elif not repeated:
            found = (
                [*found[:-1], f"{found[-1]} {line.strip()}"] if found and not _stands_alone(line) else [*found, line]
            )
    return tuple(dict.fromkeys(item.strip() for item in found))


def _stands_alone(line: str) -> bool:
    return line.startswith(("Group has no children", "Error", "Warning"))
