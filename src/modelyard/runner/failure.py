"""An exception told as a problem, with the traceback of whoever wrote the code."""

import traceback
from pathlib import Path
from types import TracebackType

from modelyard.core import Problem

PACKAGE = str(Path(__file__).parents[1]) + "/"
MAX_TRACEBACK = 50_000


def told(error: BaseException, doing: str) -> Problem:
    """Return the problem that `error` is, or is told as; `doing` names the work that it ended.

    A `Problem` stays what it is; when it came of another exception, that one's traceback is added as `detail.traceback`.
    """
    if isinstance(error, Problem):
        if error.__cause__ is not None:
            error.detail.setdefault("traceback", traceback_of(error.__cause__))
        return error
    detail = {"traceback": traceback_of(error), "exception": type(error).__name__}
    if isinstance(error, MemoryError):
        step = "give the job more memory (limits.memory_mb), or make the work smaller"
        return Problem("job.too_large", f"{doing} ran out of memory", summary(error), step, detail)
    return Problem("job.failed", f"{doing} broke off", summary(error), "see the traceback: yard job logs", detail)


def summary(error: BaseException) -> str:
    """Return the last line of the traceback, such as `ValueError: no rows`."""
    return "".join(traceback.TracebackException.from_exception(error).format_exception_only()).strip()[:1000]


def traceback_of(error: BaseException) -> str:
    """Return the traceback from the first frame on that is not this package's; all of it when there is none such."""
    start = error.__traceback__
    while start is not None and _ours(start):
        start = start.tb_next
    told_from = traceback.TracebackException(type(error), error, start or error.__traceback__)
    text = "".join(told_from.format())
    return text if len(text) <= MAX_TRACEBACK else f"{text[: MAX_TRACEBACK // 2]}\n…\n{text[-MAX_TRACEBACK // 2 :]}"


def _ours(frame: TracebackType) -> bool:
    return frame.tb_frame.f_code.co_filename.startswith(PACKAGE)
