"""The boundary round user code: what it raises becomes a `Problem` that shows the user's frames and none of ours."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from polars.exceptions import PanicException

from modelyard.core import Problem
from modelyard.prepare.origins import is_house_file, is_installed_file

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def user_code_boundary(what: str, next_step: str = "mend the code and try again") -> Iterator[None]:
    """Turn an exception of user code into `Problem("code.failed")`.

    Parameters
    ----------
    what
        What was running, as the beginning of a sentence: `The step 'per_month'`.
    next_step
        What to do about it.

    Raises
    ------
    Problem
        `code.failed` with `detail={"exception": its type, "message": …, "traceback": the user's frames}`; the exception is
        its cause. A `Problem` passes as it is, and so do `KeyboardInterrupt` and `SystemExit`.

    >>> with user_code_boundary("Half"):
    ...     1 / 0
    Traceback (most recent call last):
    modelyard.core.problems.Problem: Half failed: ZeroDivisionError: division by zero. Next: mend the code and try again
    """
    try:
        yield
    except Problem:
        raise
    except (Exception, PanicException) as error:  # a panic of Polars is no `Exception`
        kind = type(error).__name__
        detail = {"exception": kind, "message": str(error), "traceback": user_traceback(error)}
        raise Problem("code.failed", f"{what} failed", f"{kind}: {error}" if str(error) else kind, next_step, detail) from error


def call_user(what: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a user's function inside `user_code_boundary(what)`."""
    with user_code_boundary(what):
        return function(*args, **kwargs)


def user_traceback(error: BaseException) -> str:
    """Return the traceback of an exception with only the user's frames; where it has none, with all but ours."""
    told = traceback.TracebackException.from_exception(error)
    waiting: list[traceback.TracebackException | None] = [told]
    while waiting:
        part = waiting.pop()
        if part is not None:
            foreign = [frame for frame in part.stack if not is_house_file(frame.filename)]
            own = [frame for frame in foreign if not is_installed_file(frame.filename)]
            part.stack = traceback.StackSummary.from_list(own or foreign)
            waiting += [part.__cause__, part.__context__]
    return "".join(told.format())
