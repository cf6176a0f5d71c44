"""ketnoi doctor: is everything there that this installation needs?"""

from __future__ import annotations

import argparse
import platform
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from forms.odk_validate import java_at
from forms.sheets import Text
from rules import durable
from service import clock, installation, publishing
from service.queries.out_of_sight import clients_out_of_sight
from service.settings import Settings, from_environment
from service.tables import FormVersion, OutboxRow, Quarantine, Role, User, VersionState


class Grade(StrEnum):
    GOOD = "ok"
    DOUBTFUL = "warn"
    BAD = "FAIL"


@dataclass(frozen=True, slots=True)
class Answer:
    """One line of the examination."""

    grade: Grade
    words: Text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser  # It has none.


def run(args: argparse.Namespace) -> int:
    settings = from_environment()
    answers = [*_machine(settings), *_folder(settings), *_records(settings)]
    for answer in answers:
        print(f"{answer.grade.value:<5} {answer.words.to(args.language)}")
    return 1 if any(answer.grade is Grade.BAD for answer in answers) else 0


def _machine(settings: Settings) -> Iterator[Answer]:
    yield _good(f"Python {platform.python_version()}", f"Python {platform.python_version()}")
    if durable.available:
        yield _good(f"durable-rules {durable.version()}", f"durable-rules {durable.version()}")
    else:
        yield _doubtful(
            "Không có durable-rules: bộ so khớp tham chiếu tự quyết định.",
            "durable-rules is not installed: the reference matcher decides alone.",
        )
    java = java_at(settings.java)
    if java:
        yield _good(f"Java: {java}", f"Java: {java}")
    else:
        yield _doubtful(
            "Không có Java: biểu mẫu được công bố mà không qua ODK Validate.",
            "No Java: forms are published without ODK Validate.",
        )


def _folder(settings: Settings) -> Iterator[Answer]:
    folder = settings.data_dir
    if not folder.is_dir():
        yield _bad(
            f"Chưa có thư mục dữ liệu {folder}. Chạy ketnoi serve hoặc ketnoi demo.",
            f"There is no data folder {folder} yet. Run ketnoi serve or ketnoi demo.",
        )
        return
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        yield _doubtful(
            f"Người khác trên máy này đọc được {folder}. Chạy: chmod 700 {folder}",
            f"Others on this machine can read {folder}. Run: chmod 700 {folder}",
        )
    else:
        yield _good(f"Thư mục dữ liệu {folder}", f"Data folder {folder}")


def _records(settings: Settings) -> Iterator[Answer]:
    if not settings.data_dir.is_dir():
        return
    try:
        installation.prepare(settings)
        with installation.opened(settings) as place, place.reading() as session:
            yield _good("Cơ sở dữ liệu và khóa", "Database and keys")
            yield from _published(session)
            yield from _work(session)
            yield from _people(session)
    except (SQLAlchemyError, RuntimeError, OSError) as error:
        name = type(error).__name__
        yield _bad(f"Không mở được cơ sở dữ liệu hoặc khóa ({name}).", f"Database or keys cannot be opened ({name}).")


def _published(session: Session) -> Iterator[Answer]:
    count = session.scalar(select(func.count()).where(FormVersion.state == VersionState.LIVE)) or 0
    if count:
        yield _good(f"{count} biểu mẫu đang dùng", f"{count} forms in use")
    else:
        yield _bad("Chưa công bố biểu mẫu nào.", "No form is published.")
    for there, vi, en in (
        (publishing.live_programme(session), "chương trình", "programme"),
        (publishing.live_rulebook(session), "bộ quy tắc", "rulebook"),
    ):
        if there is None:
            yield _bad(
                f"Chưa công bố {vi}: bài gửi đến phải đợi.", f"No {en} is published: submissions are kept waiting."
            )
        else:
            yield _good(f"Có {vi}", f"A {en} is in force")


def _work(session: Session) -> Iterator[Answer]:
    waiting = session.scalar(select(func.count()).select_from(OutboxRow)) or 0
    yield _good(f"{waiting} bài đang đợi xử lý", f"{waiting} submissions wait to be decided")
    aside = session.scalar(select(func.count()).select_from(Quarantine)) or 0
    grade = _doubtful if aside else _good
    yield grade(f"{aside} bài không xử lý được", f"{aside} submissions could not be processed")


def _people(session: Session) -> Iterator[Answer]:
    lost = clients_out_of_sight(session, publishing.today(session, clock.now()))
    if lost:
        count = sum(lost.values())
        yield _bad(
            f"{count} khách hàng không giám sát viên nào thấy. Giao địa bàn: {', '.join(sorted(lost))}",
            f"No supervisor sees {count} clients. Give somebody the areas: {', '.join(sorted(lost))}",
        )
    yield from _compartments(session)


def _compartments(session: Session) -> Iterator[Answer]:
    """A compartment that no supervisor may see hides urgent work from everybody."""
    plan = publishing.live_programme(session)
    if plan is None:
        return
    held = {
        right
        for rights in session.scalars(
            select(User.compartments).where(
                User.role.in_((Role.SUPERVISOR, Role.COORDINATOR)), User.disabled_at.is_(None)
            )
        )
        for right in rights
    }
    for name in sorted({item.compartment for item in plan.services} - {""} - held):
        yield _bad(
            f"Không giám sát viên nào được xem ngăn '{name}'. Thêm quyền này cho ít nhất một người.",
            f"No supervisor may see the compartment '{name}'. Give at least one that right.",
        )


def _good(vi: str, en: str) -> Answer:
    return Answer(Grade.GOOD, Text(vi, en))


def _doubtful(vi: str, en: str) -> Answer:
    return Answer(Grade.DOUBTFUL, Text(vi, en))


def _bad(vi: str, en: str) -> Answer:
    return Answer(Grade.BAD, Text(vi, en))
