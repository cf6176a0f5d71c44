"""The house holds: names are ours, arrows point one way, time comes from one place."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_ALLOWED_AT_TOP = {
    "forms", "rules", "service", "integrations", "tests", "pyproject.toml", "README.md", "Makefile", "LICENSE",
    "CHANGELOG.md", "NOTICE", "compose.yaml", "Containerfile",
}  # fmt: skip


def _tracked() -> list[str]:
    found = subprocess.run(["git", "ls-files"], cwd=_ROOT, capture_output=True, text=True, check=True)
    return found.stdout.splitlines()


def test_no_stranger_is_called_like_us():
    owners = importlib.metadata.packages_distributions()
    for name in ("forms", "rules", "integrations", "service"):
        assert set(owners.get(name, ["ketnoi"])) == {"ketnoi"}


def test_the_top_level_is_fixed():
    top = {path.partition("/")[0] for path in _tracked()}
    assert {name for name in top if not name.startswith(".")} <= _ALLOWED_AT_TOP


def test_no_test_folder_is_a_package():
    assert [path for path in _tracked() if path.startswith("tests/") and path.endswith("__init__.py")] == []


def test_only_the_clock_reads_the_clock():
    readers = re.compile(r"datetime\.now|date\.today|utcnow|time\.time\(")
    guilty = [
        path
        for path in _tracked()
        if path.endswith(".py") and not path.startswith("tests/") and path != "service/clock.py"
        if readers.search((_ROOT / path).read_text(encoding="utf-8"))
    ]
    assert guilty == []


def test_the_core_loads_without_web_database_or_queue():
    core = "import forms.gate, forms.answers, rules.evaluate, rules.check, rules.programme, sys"
    strangers = "print([m for m in ('fastapi', 'sqlalchemy', 'celery', 'httpx', 'uvicorn') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", f"{core}; {strangers}"], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
