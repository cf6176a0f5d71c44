"""What a machine lacks is left out of the run and said at its end; with KETNOI_TEST_ALL=1 it is a failure."""

import os
import shutil
from collections import Counter

import pytest

_EVERYTHING = os.environ.get("KETNOI_TEST_ALL") == "1"


def _has_durable() -> bool:
    from rules import durable

    return bool(durable.available)


def _has_postgres() -> bool:
    from tests.postgres import server_url

    return server_url() is not None


#: Mark → (is it there, what to say when it is not).
_NEEDS = {
    "jdk": (lambda: shutil.which("javac") is not None, "no JDK"),
    "chromium": (lambda: shutil.which("chromium") is not None, "no Chromium"),
    "postgres": (_has_postgres, "no PostgreSQL server"),
    "durable": (_has_durable, "durable-rules is not installed"),
}
_known: dict[str, bool] = {}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark, (there, words) in _NEEDS.items():
        if item.get_closest_marker(mark) is None:
            continue
        if mark not in _known:
            _known[mark] = there()
        if not _known[mark]:
            if _EVERYTHING:
                pytest.fail(f"{words}, and KETNOI_TEST_ALL=1 leaves nothing out", pytrace=False)
            pytest.skip(words)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # Counted from the reports, which reach this process from every worker.
    said = [str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", [])]
    left_out = Counter(words for _, words in _NEEDS.values() for reason in said if reason.endswith(words))
    if not left_out:
        return
    terminalreporter.section("left out on this machine")
    for words, count in sorted(left_out.items()):
        terminalreporter.write_line(f"{words}: {count} tests")
