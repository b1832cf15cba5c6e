"""Conditions on metrics as people write them: `roc_auc > 0.9`."""

import re

from modelyard.core import Problem

_CONDITION = re.compile(r"^\s*([A-Za-z_][\w./-]*)\s*(<=|>=|!=|<|>|=)\s*(-?[\d.]+(?:[eE][-+]?\d+)?)\s*$")


def parse_where(text: str) -> tuple[str, str, float]:
    """Return metric, comparison and number of a condition.

    >>> parse_where("roc_auc > 0.9")
    ('roc_auc', '>', 0.9)

    Raises
    ------
    Problem
        `where.invalid` for another form.
    """
    found = _CONDITION.match(text)
    if not found:
        raise _invalid(text)
    try:
        return found[1], found[2], float(found[3])
    except ValueError as error:
        raise _invalid(text) from error


def _invalid(text: str) -> Problem:
    why = "the form is METRIC > NUMBER"
    return Problem("where.invalid", f"The condition '{text[:200]}' cannot be read", why, "roc_auc > 0.9")
