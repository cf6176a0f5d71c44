"""The rows that decide: sheets rules, stops and schedules, and that what they name in each other is there."""

from __future__ import annotations

import re

from forms.sheets import Cell, Text
from forms.suggestions import did_you_mean
from forms.workbook import Row, Sheet
from rules.cells import Cells
from rules.decision import FlagLevel, Urgency
from rules.model import (
    MAX_RULES,
    FollowUp,
    Instead,
    InsteadAction,
    Recipient,
    Rule,
    Rulebook,
    ScheduleStep,
    StartsFrom,
    Status,
    Stop,
    Subject,
    Trigger,
)

_FOLLOW_UP = re.compile(r"([^\s+]+)(?:\s*\+\s*([0-9]+))?")
_INSTEAD = re.compile(r"([^\s+]+)(?:\s*\+\s*([0-9]+))?")


def rules(cells: Cells) -> tuple[Rule, ...]:
    rows = cells.unique(cells.workbook.rows("rules"), lambda row: row.get("rule_id"), "rule_id")
    if len(rows) > MAX_RULES:
        cells.error(
            "rules.too-many",
            rows[MAX_RULES].cell("rule_id"),
            Text(f"Có {len(rows)} quy tắc; tối đa {MAX_RULES}.", f"There are {len(rows)} rules; {MAX_RULES} at most."),
            Text("Chia thành nhiều chương trình, hoặc gộp quy tắc.", "Split the programme, or join rules."),
        )
    return tuple(_rule(cells, row) for row in rows)


def _rule(cells: Cells, row: Row) -> Rule:
    rule = Rule(
        rule_id=cells.name(row, "rule_id", required=True),
        row=row.number,
        when=cells.required(row, "when"),
        trigger=cells.one_of(row, "trigger", Trigger, Trigger.SUBMISSION),
        subject=cells.one_of(row, "subject", Subject, Subject.CLIENT),
        forms=cells.names(row, "form"),
        priority=cells.whole(row, "priority") or 0,
        flag=cells.name(row, "flag"),
        level=cells.maybe_one_of(row, "level", FlagLevel),
        referral=cells.name(row, "referral"),
        urgency=cells.maybe_one_of(row, "urgency", Urgency),
        due=cells.whole(row, "due", least=0),
        follow_up=_follow_up(cells, row),
        notify=cells.several_of(row, "notify", Recipient),
        resolved_when=row.get("resolved_when"),
        message=cells.texts(row, "message"),
        basis=row.get("basis"),
        status=cells.one_of(row, "status", Status, Status.ACTIVE),
    )
    _rule_makes_sense(cells, row, rule)
    return rule


def _rule_makes_sense(cells: Cells, row: Row, rule: Rule) -> None:
    wanted = ("flag", "referral", "follow_up", "notify")
    if not any(row.get(column) for column in wanted):
        cells.error(
            "rules.no-outcome",
            row.cell(),
            Text(f"Quy tắc '{rule.rule_id}' không dẫn đến điều gì.", f"Rule '{rule.rule_id}' leads to nothing."),
            Text(
                "Điền ít nhất một trong: flag, referral, follow_up, notify.",
                "Fill in at least one of flag, referral, follow_up, notify.",
            ),
        )
    if rule.referral and not row.get("urgency"):
        cells.error(
            "rules.urgency-missing",
            row.cell("urgency"),
            Text("Chuyển gửi cần mức khẩn.", "A referral needs an urgency."),
            Text(
                "Chọn same_day, same_visit, priority, soon hoặc routine.",
                "Choose same_day, same_visit, priority, soon or routine.",
            ),
        )
    if rule.flag and not row.get("level"):
        cells.warn(
            "rules.level-missing",
            row.cell("level"),
            Text("Cờ không có mức; tính là info.", "The flag has no level; it counts as info."),
            Text("Chọn mức cho cờ.", "Choose a level."),
        )
    if rule.trigger is Trigger.SUBMISSION and rule.subject is not Subject.CLIENT:
        cells.error(
            "rules.subject",
            row.cell("subject"),
            Text("Quy tắc của phiếu luôn nói về khách hàng.", "A submission rule is always about the client."),
            Text("Xóa subject, hoặc dùng trigger event hay clock.", "Clear subject, or use trigger event or clock."),
        )
    if rule.trigger is not Trigger.SUBMISSION and rule.forms:
        cells.warn(
            "rules.form-unused",
            row.cell("form"),
            Text("Quy tắc event và clock không có biểu mẫu.", "Event and clock rules have no form."),
            Text("Để trống ô form.", "Leave the cell form blank."),
        )


def _follow_up(cells: Cells, row: Row) -> FollowUp | None:
    value = row.get("follow_up")
    if not value:
        return None
    match = _FOLLOW_UP.fullmatch(value)
    if not match:
        cells.error(
            "rules.follow-up",
            row.cell("follow_up"),
            Text(f"Không hiểu '{value}'.", f"'{value}' is not understood."),
            Text(
                "Viết tên lịch (course) hoặc tên lịch + số ngày (visit + 14).",
                "Write a schedule (course), or a schedule + days (visit + 14).",
            ),
        )
        return None
    return FollowUp(match.group(1), int(match.group(2)) if match.group(2) else None)


def stops(cells: Cells) -> tuple[Stop, ...]:
    rows = cells.unique(cells.workbook.rows("stops"), lambda row: row.get("stop_id"), "stop_id")
    return tuple(
        Stop(
            stop_id=cells.name(row, "stop_id", required=True),
            row=row.number,
            service=cells.required(row, "service"),
            when=cells.required(row, "when"),
            instead=_instead(cells, row),
            message=cells.texts(row, "message"),
            basis=row.get("basis"),
        )
        for row in rows
    )


def _instead(cells: Cells, row: Row) -> Instead:
    value = row.get("instead", InsteadAction.DROP.value)
    match = _INSTEAD.fullmatch(value)
    action = match.group(1).lower() if match else ""
    days = int(match.group(2)) if match and match.group(2) else None
    needs_days = action == InsteadAction.OFFER_AGAIN
    if action in list(InsteadAction) and needs_days == (days is not None):
        return Instead(InsteadAction(action), days)
    cells.error(
        "rules.instead",
        row.cell("instead"),
        Text(f"Không hiểu '{value}'.", f"'{value}' is not understood."),
        Text(
            "Viết một trong: information_only, self_referral_information, attach_to_open, drop, offer_again + 30.",
            "Write one of: information_only, self_referral_information, attach_to_open, drop, offer_again + 30.",
        ),
    )
    return Instead(InsteadAction.DROP)


def schedules(cells: Cells) -> tuple[ScheduleStep, ...]:
    rows = cells.unique(
        cells.workbook.rows("schedules"), lambda row: f"{row.get('schedule')} {row.get('step')}".strip(), "schedule"
    )
    return tuple(_schedule_step(cells, row) for row in rows)


def _schedule_step(cells: Cells, row: Row) -> ScheduleStep:
    step = ScheduleStep(
        schedule=cells.name(row, "schedule", required=True),
        step=cells.name(row, "step"),
        form=cells.name(row, "form", required=True),
        row=row.number,
        due=cells.whole(row, "due", least=0),
        opens_before=cells.whole(row, "opens_before", least=0) or 0,
        closes_after=cells.whole(row, "closes_after", least=0) or 0,
        starts_from=cells.one_of(row, "starts_from", StartsFrom, StartsFrom.ACTUAL),
        label=cells.texts(row, "label"),
    )
    if step.step and not row.get("due"):
        cells.error(
            "rules.step-without-due",
            row.cell("due"),
            Text("Bước của một loạt cần ngày hẹn.", "A step of a series needs its due day."),
            Text("Điền số ngày tính từ mốc.", "Fill in the days from the anchor."),
        )
    return step


def follow_ups_exist(cells: Cells, rulebook: Rulebook) -> None:
    """Every follow_up names a schedule that has what it asks for: a series its steps, a single one its days."""
    sheet = cells.workbook.sheets.get("rules")
    for rule in rulebook.rules:
        if rule.follow_up is not None and sheet is not None:
            _follow_up_exists(cells, rulebook, sheet.cell(rule.row, "follow_up"), rule.follow_up)
    _no_mixed_schedules(cells, rulebook)


def _follow_up_exists(cells: Cells, rulebook: Rulebook, cell: Cell, wanted: FollowUp) -> None:
    steps = rulebook.steps(wanted.schedule)
    name = wanted.schedule
    if not steps:
        cells.error(
            "rules.unknown-schedule",
            cell,
            Text(f"Không có lịch '{name}'.", f"There is no schedule '{name}'."),
            did_you_mean(
                name,
                [item.schedule for item in rulebook.schedules],
                Text("Thêm lịch này vào trang schedules.", "Add it to the sheet schedules."),
            ),
        )
    elif wanted.days is None and any(item.due is None for item in steps):
        cells.error(
            "rules.follow-up-days",
            cell,
            Text(f"Lịch '{name}' không có ngày hẹn.", f"The schedule '{name}' has no due day."),
            Text(f"Viết số ngày: {name} + 14.", f"Say in how many days: {name} + 14."),
        )
    elif wanted.days is not None and any(item.step for item in steps):
        cells.error(
            "rules.follow-up-series",
            cell,
            Text(f"'{name}' là một loạt bước có ngày riêng.", f"'{name}' is a series with days of its own."),
            Text(f"Viết {name}, không có số ngày.", f"Write {name} without days."),
        )


def _no_mixed_schedules(cells: Cells, rulebook: Rulebook) -> None:
    sheet: Sheet | None = cells.workbook.sheets.get("schedules")
    for item in rulebook.schedules:
        if sheet is not None and not item.step and any(other.step for other in rulebook.steps(item.schedule)):
            cells.error(
                "rules.mixed-schedule",
                sheet.cell(item.row, "step"),
                Text(
                    f"Lịch '{item.schedule}' vừa có bước vừa không.",
                    f"The schedule '{item.schedule}' has rows with and without a step.",
                ),
                Text("Đặt tên bước, hoặc tách thành lịch khác.", "Name the step, or make it a schedule of its own."),
            )
