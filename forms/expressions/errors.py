"""What may go wrong with an expression, before it runs and while it runs.

ExpressionError            the text cannot be used at all
  └ EvaluationError        the text is good, but these answers cannot be computed with it
Refused                    raised by a function; becomes an EvaluationError that knows its place
"""

from __future__ import annotations

from forms.sheets import Language, Text


class ExpressionError(ValueError):
    """An expression that cannot be used: what is wrong, how to mend it, and where.

    `start` and `end` count characters of the expression's text, `end` exclusive.
    """

    def __init__(self, problem: Text, cure: Text, start: int = 0, end: int = 0) -> None:
        super().__init__(f"{problem.en} {cure.en}".rstrip())
        self.problem = problem
        self.cure = cure
        self.start = start
        self.end = end

    def describe(self, language: str = Language.VI) -> str:
        """Problem and cure in one line, in `vi` or `en`."""
        return f"{self.problem.to(language)} {self.cure.to(language)}".rstrip()


class EvaluationError(ExpressionError):
    """A good expression that cannot be computed from these answers, where Collect would stop with an error too.

    The message never quotes an answer: it may be shown to staff who must not see answers.
    """


class Refused(Exception):
    """Raised by a function that cannot work with the values it was given. Must not quote them."""

    def __init__(self, problem: Text, cure: Text) -> None:
        super().__init__(problem.en)
        self.problem = problem
        self.cure = cure
