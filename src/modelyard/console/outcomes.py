"""What checks ask and found, in words."""

from collections.abc import Mapping
from dataclasses import dataclass

from modelyard.console.telling import count, value
from modelyard.data import Check, CheckOutcome, Severity

DOES = {Severity.ERROR: "quarantines the row", Severity.BLOCK: "blocks the batch", Severity.WARNING: "warns"}


@dataclass(frozen=True)
class Outcome:
    """What a check found, in words."""

    check: str
    does: str
    found: str
    failed: bool
    examples: tuple[str, ...]


def told_check(check: Check) -> str:
    """Return a check as a person reads it."""
    params = ", ".join(f"{name} {value(told)}" for name, told in check.params.items())
    columns = f"({', '.join(check.columns)})" if check.columns else ""
    return check.kind.replace("_", " ") + columns + (f": {params}" if params else "")


def outcome_of(one: CheckOutcome, does: Mapping[Severity, str] = DOES) -> Outcome:
    """Return what a check found as a person reads it; `does` says what a failure does."""
    failed = one.rows_failed > 0
    found = one.found or (f"{count(one.rows_failed)} rows failed" if failed else "green")
    examples = tuple(value(row) for row in one.examples[:2])
    return Outcome(told_check(one.check), does[one.check.severity], found, failed, examples)
