"""The one error of the house: what happened, why, and what to do next.

A code is `noun.kind`. The kind is one of `ProblemKind`; `api.statuses` maps kinds to HTTP statuses and `cli.exits` to exit
codes, so that the slices know neither.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from enum import Enum

from modelyard.core.json import Json

SHOWN = 10  # known names in the sentence; the detail has more
LONGEST_LINE = 300  # characters of what a foreign exception says


class ProblemKind(Enum):
    """The last part of every code."""

    INVALID = "invalid"  # the input is wrong; mend it
    MISSING = "missing"  # no such thing
    DROPPED = "dropped"  # it was there, and went for good
    EXISTS = "exists"  # the name is taken
    CONFLICT = "conflict"  # the thing is not in a state for this
    REFUSED = "refused"  # a gate, check or limit of policy says no
    FORBIDDEN = "forbidden"  # the actor's role does not allow it
    UNAUTHENTICATED = "unauthenticated"  # no token, or a wrong one
    TOO_LARGE = "too_large"  # over a size limit
    LIMITED = "limited"  # too much at once; try again later
    UNAVAILABLE = "unavailable"  # a part that is needed does not answer
    TIMEOUT = "timeout"  # it took longer than allowed
    FAILED = "failed"  # the user's code, or ours, raised


class Problem(Exception):
    """An error told in full.

    Parameters
    ----------
    code
        `noun.kind`, such as `run.missing`; the kind is a value of `ProblemKind`.
    what
        What happened, as a sentence without its full stop.
    why
        The reason, in the same form.
    next_step
        What to do about it: a command or an action.
    detail
        Further facts as JSON, such as `{"columns": ["dep_time"]}` or a traceback.

    >>> str(Problem("run.missing", "There is no run 8f2c", "the project has 3 runs", "yard run list"))
    'There is no run 8f2c: the project has 3 runs. Next: yard run list'
    """

    def __init__(self, code: str, what: str, why: str = "", next_step: str = "", detail: dict[str, Json] | None = None) -> None:
        self.code = code
        self.what = what
        self.why = why
        self.next_step = next_step
        self.detail = detail or {}
        super().__init__(code, what, why, next_step)

    @property
    def kind(self) -> ProblemKind:
        """The kind that the code ends in."""
        return ProblemKind(self.code.rpartition(".")[2])

    def __str__(self) -> str:
        """Return the sentence a person reads."""
        told = f"{self.what}: {self.why}" if self.why else self.what
        told = told if told.endswith(("?", "…", ".")) else told + "."
        return f"{told} Next: {self.next_step}" if self.next_step else told


def further_down(problem: Problem, rows: int, within: str = "") -> Problem:
    """Return a problem of a row with the row's place in a whole that has `rows` rows before those that were looked at.

    `within` names a part of the whole, such as a file, where the row is counted from the part's first one.

    >>> told = Problem("column.invalid", "Column 'fare' has a wrong value in row 3", detail={"row": 3})
    >>> further_down(told, 100).what
    "Column 'fare' has a wrong value in row 103"
    """
    row = problem.detail.get("row")
    if not isinstance(row, int) or not (rows or within):
        return problem
    at = rows + row
    what = re.sub(rf"\b([Rr])ow {row}\b", rf"\1ow {at}", problem.what)
    why = f"{problem.why}; that is row {at} of {within}, from 0" if within else problem.why
    detail = {**problem.detail, "row": at, **({"input": within} if within else {})}
    return Problem(problem.code, what, why, problem.next_step, detail)


def nearest(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Return the known names nearest to `name`, best first.

    >>> nearest("fligths", ["weather", "flights", "planes"])
    ['flights']
    """
    return get_close_matches(name, list(known), n=most, cutoff=0.5)


def missing(noun: str, name: str, known: Iterable[str], next_step: str = "") -> Problem:
    """Return the problem of an unknown name, with the nearest known ones suggested.

    >>> str(missing("dataset", "fligths", ["weather", "flights"]))
    "There is no dataset 'fligths': did you mean 'flights'?"
    """
    names = sorted(known)
    near = nearest(name, names)
    if near:
        why = "did you mean " + " or ".join(f"'{n}'" for n in near) + "?"
    elif names:
        why = f"there is {', '.join(names[:SHOWN])}" + (" …" if len(names) > SHOWN else "")
    else:
        why = f"there is no {noun} yet"
    return Problem(f"{noun}.missing", f"There is no {noun} '{name}'", why, next_step, {"known": names[:100], "nearest": near})


def first_line(error: Exception) -> str:
    r"""Return what somebody else's exception says, in one line of at most 300 characters; its type where it says nothing.

    >>> first_line(ValueError("no such column\nat line 3")), first_line(KeyError())
    ('no such column', 'KeyError')
    """
    return str(error).splitlines()[0][:LONGEST_LINE] if str(error) else type(error).__name__
