"""Findings of the lint, made short."""

from __future__ import annotations

from forms.sheets import Cell, Finding, Level, Text


def error(code: str, cell: Cell, problem: Text, cure: Text) -> Finding:
    """A finding that blocks publishing; `code` without the room's name."""
    return Finding(f"forms.{code}", Level.ERROR, cell, problem, cure)


def warning(code: str, cell: Cell, problem: Text, cure: Text) -> Finding:
    """A finding that does not."""
    return Finding(f"forms.{code}", Level.WARNING, cell, problem, cure)
