"""Several pieces of work of which none may keep the others from being done."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Effort:
    """Each piece is tried, whatever became of the others; the first failure is raised at the end.

    >>> effort = Effort()
    >>> effort.make(lambda: 1 // 0, 0), effort.make(lambda: 2, 0)
    (0, 2)
    >>> effort.end()
    Traceback (most recent call last):
    ZeroDivisionError: integer division or modulo by zero
    """

    def __init__(self) -> None:
        self._failures: list[Exception] = []

    def make(self, work: Callable[[], T], otherwise: T) -> T:
        """Do a piece of work, and return what it returns; `otherwise` when it failed."""
        try:
            return work()
        except Exception as error:  # raised by `end`
            self._failures.append(error)
            return otherwise

    def end(self) -> None:
        """Return when all went well. Raises the first failure, with the others told in its notes."""
        if self._failures:
            first, *others = self._failures
            for other in others:
                first.add_note(f"and {type(other).__name__}: {other}")
            raise first
