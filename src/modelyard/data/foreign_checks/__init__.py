"""Checks that were written for others: Great Expectations' suites (JSON of 0.18 and 1.x) and pandera's schemas (JSON, YAML).

Neither package is needed: what they write is read as it stands. Each expectation either has a counterpart among
`data.quality`'s checks or is left out by name, with why.
"""

import json
from datetime import datetime

import polars as pl
import yaml

from modelyard.core import Problem, first_line
from modelyard.data.batch_findings import find_alone
from modelyard.data.foreign_checks.counterparts import Counterpart, Imported, LeftOut
from modelyard.data.foreign_checks.great_expectations import of_suite
from modelyard.data.foreign_checks.pandera import of_schema

__all__ = ["Counterpart", "Imported", "LeftOut", "fitted", "read_checks"]


def read_checks(text: str) -> Imported:
    """Return what the text of an expectation suite, or of a serialised pandera schema, becomes.

    Raises
    ------
    Problem
        `checks.invalid` for a text that is neither JSON nor YAML, or neither of the two.
    """
    try:
        document = json.loads(text) if text.lstrip()[:1] == "{" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise _invalid("it is neither JSON nor YAML: " + first_line(error)) from error
    if not isinstance(document, dict):
        raise _invalid("it holds no object")
    if isinstance(document.get("expectations"), list):
        found = [*of_suite(document["expectations"])]
    elif isinstance(document.get("columns"), dict):
        found = [*of_schema(document)]
    else:
        raise _invalid("it has neither `expectations` nor `columns`")
    taken = tuple(one for one in found if isinstance(one, Counterpart))
    return Imported(taken, tuple(one for one in found if isinstance(one, LeftOut)))


def fitted(imported: Imported, rows: pl.DataFrame, now: datetime) -> Imported:
    """Return what of it can judge these rows, of which there is at least one; the rest is left out, with why."""
    taken, left_out = [], list(imported.left_out)
    for one in imported.taken:
        try:
            [outcome] = find_alone(rows, [one.check], now=now)
        except Problem as problem:
            left_out.append(LeftOut(one.name, f"{problem.what}: {problem.why}"))
            continue
        if one.check.kind == "dtype" and outcome.rows_failed:  # the rows held decided it for good
            left_out.append(LeftOut(one.name, f"the dataset has it as {outcome.found}"))
        else:
            taken.append(one)
    return Imported(tuple(taken), tuple(left_out))


def _invalid(why: str) -> Problem:
    step = "give a suite of Great Expectations (its JSON), or a schema of pandera's (schema.to_json(), schema.to_yaml())"
    return Problem("checks.invalid", "The file holds no checks that can be imported", why, step)
