import ast
import json
import logging
import uuid
from pathlib import Path

import pytest

from service import logs
from service.logs import formatter


def line(record: logging.LogRecord, kind: str = "plain") -> str:
    return formatter(kind).format(record)


def record(event: str, *args: object, name: str = "service.x", exc: BaseException | None = None, **extra: object):
    made = logging.LogRecord(name, logging.INFO, "x.py", 1, event, args, (type(exc), exc, None) if exc else None)
    made.__dict__.update(extra)
    return made


def test_a_line_says_the_event_and_its_counts():
    assert line(record("batch processed", submissions=50)).endswith(" INFO batch processed submissions=50")


def test_what_is_not_allowed_beside_an_event_is_left_out():
    assert "Lan" not in line(record("batch processed", client_name="Lan"))


@pytest.mark.parametrize("value", ["Nguyễn Thị Lan", "two words", "0912345678", "+84912345678", "x" * 100])
def test_a_text_that_is_no_code_is_hidden(value: str):
    assert value not in line(record("refused", problem=value))


def test_ids_and_codes_are_shown():
    some_id = uuid.uuid4()
    shown = line(record("refused", problem="unknown-form", submission=some_id))
    assert f"problem=unknown-form submission={some_id}" in shown


def test_what_somebody_put_into_one_of_our_events_is_not_shown():
    assert "Lan" not in line(record("hello %s", "Lan"))


def test_a_traceback_tells_the_place_and_not_the_words():
    def fail() -> None:
        raise ValueError("could not read 'Nguyễn Thị Lan'")

    try:
        try:
            fail()
        except ValueError as error:
            raise RuntimeError("while handling Lan") from error
    except RuntimeError as error:
        made = logging.LogRecord("service", 40, "x.py", 1, "failed", (), (type(error), error, error.__traceback__))
    shown = line(made)
    assert "Lan" not in shown
    assert "builtins.ValueError" in shown
    assert f"{__file__}:" in shown
    assert " fail" in shown


def test_json_lines_hold_the_same():
    shown = json.loads(line(record("batch processed", submissions=50, client_name="Lan"), "json"))
    assert (shown["event"], shown["submissions"], "client_name" in shown) == ("batch processed", 50, False)


def test_everything_that_our_code_puts_beside_an_event_is_allowed():
    """Otherwise it would be left out in silence, and somebody would look for it in vain."""
    calls = [
        node
        for path in Path(logs.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.keyword) and node.arg == "extra" and isinstance(node.value, ast.Dict)
    ]
    used = {key.value for call in calls for key in call.value.keys if isinstance(key, ast.Constant)}
    assert len(used) > 1
    assert used - logs.ALLOWED == set()


def test_every_allowed_name_is_free_in_a_log_record():
    """logging refuses an extra that would overwrite one of a record's own attributes."""
    own = record("x").__dict__.keys()
    assert not logs.ALLOWED & own
