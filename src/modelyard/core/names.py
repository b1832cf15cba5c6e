"""Names that people give: one form for all of them, safe in a URL, a path and a command line."""

import re

from modelyard.core.problems import Problem

MAX_LENGTH = 63
_FORM = re.compile(r"[a-z][a-z0-9_-]*")


def check_name(noun: str, name: str) -> str:
    """Return `name` when it is one: a lower case letter, then letters, digits, `-` and `_`, at most 63 in all.

    Raises
    ------
    Problem
        `NOUN.invalid` for another form.

    >>> check_name("dataset", "flights")
    'flights'
    """
    if len(name) > MAX_LENGTH or not _FORM.fullmatch(name):
        raise Problem(
            f"{noun}.invalid",
            f"{name[:80]!r} is no name for a {noun}",
            f"a name is a lower case letter, then letters, digits, - and _, at most {MAX_LENGTH} in all",
            "choose another name",
        )
    return name
