"""What checks of rows find in a batch: which rows fail which check. They are Polars expressions, evaluated in one pass.

Why not by pandera: docs/decisions/0007-checks-in-polars.md.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, cast

import polars as pl

from modelyard.core import Problem, from_text
from modelyard.data.quality.kinds import NOW, check_columns, told
from modelyard.data.schema import column_missing
from modelyard.data.types import Check, CheckOutcome, Severity

EXAMPLES = 3

NOTHING = pl.DataFrame(schema={"check": pl.Int64, "row": pl.Int64})


@dataclass(frozen=True, eq=False)
class Findings:
    """Each check of a batch with the rows that failed it: `failed` has the columns `check` and `row`, both counted from 0."""

    checks: tuple[Check, ...]
    failed: pl.DataFrame

    def outcomes(self, frame: pl.DataFrame, show: Sequence[str] = ()) -> tuple[CheckOutcome, ...]:
        """Return what each check found in `frame`, with the first few failing rows: its columns and those of `show`."""
        return tuple(self._outcome(index, frame, show) for index in range(len(self.checks)))

    def reasons(self) -> pl.DataFrame:
        """Return each row that failed a check which does more than warn: `row` and `reasons`, the names of those checks."""
        names = [told(check) for check in self.checks]
        errors = [index for index, check in enumerate(self.checks) if check.severity is not Severity.WARNING]
        named = pl.col("check").replace_strict(list(range(len(names))), names, return_dtype=pl.String)
        found = self.failed.filter(pl.col("check").is_in(errors)).sort("row", "check")
        reasons = found.with_columns(reasons=named).group_by("row", maintain_order=True).agg("reasons")
        return reasons.cast({"reasons": pl.List(pl.String)})  # Polars leaves them numbers where there are no checks

    def block(self) -> bool:
        """Return whether a row failed a check of severity BLOCK."""
        blocking = [index for index, check in enumerate(self.checks) if check.severity is Severity.BLOCK]
        return bool(self.failed["check"].is_in(blocking).any())

    def _outcome(self, index: int, frame: pl.DataFrame, show: Sequence[str]) -> CheckOutcome:
        rows = self.failed.filter(pl.col("check") == index)["row"].sort()
        columns = [name for name in dict.fromkeys([*show, *check_columns(self.checks[index])]) if name in frame.columns]
        return CheckOutcome(self.checks[index], rows.len(), _examples(frame.select(columns), rows.head(EXAMPLES)))


def find(frame: pl.DataFrame, checks: Sequence[Check], *, now: datetime) -> Findings:
    """Evaluate `checks`, which are of rows, on `frame`; `now` is what `not_after(…, "now")` means.

    Raises
    ------
    Problem
        `column.missing` when a check names a column that the frame lacks; `check.invalid` when one cannot be evaluated on its
        column's type, such as `between(origin, 0, 9)` on text.
    """
    need_columns(frame, checks)
    passes = [
        _EXPRESSIONS[check.kind](check, frame.schema, now).fill_null(True).alias(str(n)) for n, check in enumerate(checks)
    ]
    try:
        passed = frame.select(passes)
    except pl.exceptions.PolarsError:
        for expression, check in zip(passes, checks, strict=True):
            _alone(frame, expression, check)
        raise
    return Findings(tuple(checks), pl.concat([_rows(n, ~passed[str(n)]) for n in range(len(checks))] or [NOTHING]))


def need_columns(frame: pl.DataFrame, checks: Sequence[Check]) -> None:
    """Return when the frame has every column that the checks look at. Problem `column.missing`."""
    for check in checks:
        for name in check_columns(check):
            if name not in frame.columns:
                raise column_missing(name, frame.columns)


def failing(check: Check, failed: pl.Series) -> Findings:
    """Return the finding of one check that was evaluated elsewhere: `failed` is true for the rows that failed it."""
    return Findings((check,), _rows(0, failed))


def joined(parts: Sequence[Findings]) -> Findings:
    """Return the findings of several evaluations of one batch as one."""
    starts = list(accumulate((len(part.checks) for part in parts), initial=0))
    moved = [part.failed.with_columns(pl.col("check") + start) for part, start in zip(parts, starts, strict=False)]
    return Findings(tuple(check for part in parts for check in part.checks), pl.concat([NOTHING, *moved]))


def _rows(number: int, failed: pl.Series) -> pl.DataFrame:
    rows = failed.arg_true().cast(pl.Int64).alias("row")
    return pl.DataFrame([pl.Series("check", [number], dtype=pl.Int64).new_from_index(0, rows.len()), rows])


def _alone(frame: pl.DataFrame, expression: pl.Expr, check: Check) -> None:
    try:
        frame.select(expression)
    except pl.exceptions.PolarsError as error:
        raise unfit(check, str(error).strip().splitlines()[0]) from error


def _examples(columns: pl.DataFrame, rows: pl.Series) -> tuple[Mapping[str, Any], ...]:
    """Return rows as JSON, each with its number in the batch; bytes are shown in hexadecimal."""
    shown = columns[rows.to_list()].with_columns(pl.col(pl.Binary).bin.encode("hex"))
    told_rows = cast("list[dict[str, Any]]", json.loads(shown.write_json())) if shown.width else [{} for _ in rows]
    return tuple({"_row": number, **told_row} for number, told_row in zip(rows, told_rows, strict=True))


# One expression a kind: true where the row passes, null where there is nothing to judge


def _not_null(check: Check, schema: pl.Schema, _: datetime) -> pl.Expr:
    return pl.all_horizontal(_known(name, schema) for name in check.columns)


def _unique(check: Check, schema: pl.Schema, _: datetime) -> pl.Expr:
    alike = pl.col(check.columns[0]) if len(check.columns) == 1 else pl.struct(check.columns)
    return alike.is_first_distinct() | pl.any_horizontal(pl.col(name).is_null() for name in check.columns)


def _finite(check: Check, schema: pl.Schema, _: datetime) -> pl.Expr:
    return pl.all_horizontal(pl.col(name).is_finite().fill_null(True) for name in check.columns)


def _between(check: Check, schema: pl.Schema, _: datetime) -> pl.Expr:
    [name] = check.columns
    low, high = check.params["low"], check.params["high"]
    passes = [_number(name, schema)]
    passes += [pl.col(name) >= _bound(check, low, schema[name])] if low is not None else []
    passes += [pl.col(name) <= _bound(check, high, schema[name])] if high is not None else []
    return pl.all_horizontal(passes)


def _length_between(check: Check, schema: pl.Schema, _: datetime) -> pl.Expr:
    [name] = check.columns
    low, high = check.params["low"], check.params["high"]
    length = pl.col(name).list.len() if isinstance(schema[name], pl.List) else pl.col(name).str.len_chars()
    passes = [length >= low] if low is not None else []
    return pl.all_horizontal([*passes, *([length <= high] if high is not None else [])])


def _one_of(check: Check, schema: pl.Schema, _: datetime) -> pl.Expr:
    values = pl.Series(list(check.params["values"]), strict=False)
    if schema[check.columns[0]].is_numeric() != values.dtype.is_numeric():
        raise unfit(check, f"the column's values are {schema[check.columns[0]]}")
    return pl.col(check.columns[0]).is_in(values.to_list())


def _matches(check: Check, schema: pl.Schema, _: datetime) -> pl.Expr:
    return pl.col(check.columns[0]).str.contains(f"^(?:{check.params['pattern']})$")


def _not_after(check: Check, schema: pl.Schema, now: datetime) -> pl.Expr:
    return _number(check.columns[0], schema) & (pl.col(check.columns[0]) <= _limit(check, schema, now))


def _not_before(check: Check, schema: pl.Schema, now: datetime) -> pl.Expr:
    return _number(check.columns[0], schema) & (pl.col(check.columns[0]) >= _limit(check, schema, now))


def _increasing(check: Check, schema: pl.Schema, _: datetime) -> pl.Expr:
    value = pl.col(check.columns[0])
    before = value.forward_fill().shift(1)
    return value > before if check.params["strictly"] else value >= before


def _known(name: str, schema: pl.Schema) -> pl.Expr:
    return pl.col(name).is_not_null() & _number(name, schema).fill_null(False)


def _number(name: str, schema: pl.Schema) -> pl.Expr:
    return pl.col(name).is_not_nan() if schema[name].is_float() else pl.lit(True)


def _limit(check: Check, schema: pl.Schema, now: datetime) -> pl.Expr:
    if "column" in check.params:
        return pl.col(str(check.params["column"]))
    limit = check.params["limit"]
    return _bound(check, now.isoformat() if limit == NOW else limit, schema[check.columns[0]])


def _bound(check: Check, value: Any, dtype: pl.DataType) -> pl.Expr:
    """Return a value of a check's parameters as one of the column's type; a naive time is taken for UTC."""
    if isinstance(value, str) != dtype.is_temporal():
        raise unfit(check, f"the column's values are {dtype}")
    if not isinstance(value, str):
        return pl.lit(value)
    try:
        at = from_text(value)
    except ValueError as error:
        raise unfit(check, str(error)) from error
    if dtype == pl.Date:
        return pl.lit(at.date())
    return pl.lit(at if getattr(dtype, "time_zone", None) else at.astimezone(UTC).replace(tzinfo=None))


def unfit(check: Check, why: str) -> Problem:
    """Return the problem of a check that cannot judge values of its column's type."""
    return Problem("check.invalid", f"The check {told(check)} cannot be evaluated", why, "choose a check that fits the column")


_EXPRESSIONS: Mapping[str, Callable[[Check, pl.Schema, datetime], pl.Expr]] = {
    "not_null": _not_null,
    "unique": _unique,
    "finite": _finite,
    "between": _between,
    "length_between": _length_between,
    "one_of": _one_of,
    "matches": _matches,
    "not_after": _not_after,
    "not_before": _not_before,
    "increasing": _increasing,
}
