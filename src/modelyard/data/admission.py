"""What becomes of a batch: each row is clean or bad, and every row that does not enter the dataset enters its quarantine."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from modelyard.core import Problem, digest_json
from modelyard.data.batch_findings import Against, find_whole
from modelyard.data.findings import failing, find, joined
from modelyard.data.quality.kinds import Scope, check_columns, scope_of, told
from modelyard.data.rules import is_stopped, promises
from modelyard.data.schema import RESERVED
from modelyard.data.sources import Undecoded
from modelyard.data.types import Check, CheckOutcome, Dataset, DatasetVersion, Severity

STOPPED = "batch stopped"
QUARANTINE_COLUMNS = pl.Schema(
    {"_reasons": pl.List(pl.String()), "_batch": pl.String(), "_at": pl.Datetime("us", "UTC"), "_row": pl.Int64()}
)


@dataclass(frozen=True, eq=False)
class Judgement:
    """A batch, parted. `reasons` has the columns `row` (counted from 0) and `reasons`, for each row of `bad`."""

    clean: pl.DataFrame
    bad: pl.DataFrame
    reasons: pl.DataFrame
    outcomes: tuple[CheckOutcome, ...]
    stopped: bool


def judge(rows: pl.DataFrame, dataset: Dataset, known_keys: pl.LazyFrame | None, against: Against, now: datetime) -> Judgement:
    """Part the rows of a batch (at least one, in the dataset's types) by the dataset's checks and the keys that it holds.

    A batch that fails a blocking check, or with a larger share of bad rows than `dataset.stop_share`, is stopped: then all its
    rows are bad.

    Raises
    ------
    Problem
        `column.missing` for a column of the key, the time or a check; `column.invalid` when the time column holds no times;
        `check.invalid`.
    """
    checks = promises(dataset)
    found = find(rows, [check for check in checks if scope_of(check) is Scope.ROW], now=now)
    whole = find_whole(rows, [check for check in checks if scope_of(check) is not Scope.ROW], against, now=now)
    _check_time(rows, dataset)
    if dataset.key and known_keys is not None:
        check = Check("new", dataset.key, severity=Severity.ERROR)
        found = joined([found, failing(check, _already_there(rows, dataset, known_keys))])
    reasons = found.reasons()
    refused = [told(one.check) for one in whole if one.rows_failed and one.check.severity is Severity.BLOCK]
    stopped = bool(refused) or found.block() or is_stopped(rows.height, reasons.height, dataset.stop_share)
    if stopped:
        reasons = _all_stopped(rows, reasons, refused)
    outcomes = (*found.outcomes(rows, show=[*dataset.key, *([dataset.time] if dataset.time else [])]), *whole)
    clean = rows
    if reasons.height:
        clean = rows.filter(~pl.int_range(pl.len()).is_in(reasons["row"].implode()))
    return Judgement(clean, rows[reasons["row"].to_list()], reasons, outcomes, stopped)


def beyond_held(rows: pl.DataFrame, held: pl.LazyFrame, key: Sequence[str]) -> pl.DataFrame:
    """Return the rows (in the dataset's types) that tell something new: those of a new key, and those unlike the one held."""
    known = held.join(rows.lazy().select(key), on=list(key), how="semi").collect()
    if set(rows.columns) - set(known.columns):
        return rows
    texts = as_texts(rows).with_row_index("_row")
    same = texts.join(as_texts(known), on=rows.columns, how="semi", nulls_equal=True)["_row"]
    return rows.filter(~pl.int_range(pl.len()).is_in(same.implode()))


def is_sound(rows: pl.LazyFrame, dataset: Dataset, now: datetime) -> bool:
    """Return whether rows that were admitted keep every promise that the dataset makes of its rows now, but for warnings.

    Rows that went to quarantine are not among them and count for nothing here: a batch with too many of them (`stop_share`)
    makes no version at all. Promises about batches are not about the rows of a version, which came in many. What can be broken
    is a promise that was made after the rows had come in; one about a column that they do not have is.
    """
    errors = [one for one in promises(dataset) if scope_of(one) is Scope.ROW and one.severity is not Severity.WARNING]
    named = {name for check in errors for name in check_columns(check)}
    if not named <= set(rows.collect_schema().names()):
        return False
    return not find(rows.select(sorted(named)).collect(), errors, now=now).failed.height if errors else True


def nothing_judged(rows: pl.DataFrame) -> Judgement:
    """Return the judgement of a batch without rows."""
    return Judgement(rows, rows, pl.DataFrame(schema={"row": pl.Int64, "reasons": pl.List(pl.String)}), (), stopped=False)


def batch_id(dataset: Dataset, before: DatasetVersion | None, found: Sequence[str]) -> str:
    """Return the id of a batch upon a version, by what was found in it: a retry has it again, a batch judged anew has not."""
    told = digest_json([dataset.id, before.id if before else None, *found])
    return f"batch_{told.partition(':')[2][:26]}"


def quarantine_rows(judgement: Judgement, batch: str, now: datetime) -> pl.DataFrame:
    """Return the bad rows as a quarantine keeps them: every value as text, so that no type can keep a row out, and the reasons.

    `_row` is the row's place in its batch, counted from 0.
    """
    texts = as_texts(judgement.bad)
    return texts.with_columns(
        judgement.reasons["reasons"].alias("_reasons"),
        pl.lit(batch).alias("_batch"),
        pl.lit(now).cast(pl.Datetime("us", "UTC")).alias("_at"),
        judgement.reasons["row"].alias("_row"),
    )


def undecoded_rows(found: Sequence[Undecoded], batch: str, now: datetime) -> pl.DataFrame:
    r"""Return what could not be decoded, as a quarantine keeps it: `_content` is its text, or `\x` and hexadecimal digits."""
    return pl.DataFrame(
        {
            "_content": [_content(one.content) for one in found],
            "_place": [one.place for one in found],
            "_reasons": [[one.why] for one in found],
            "_batch": batch,
            "_at": now,
            "_row": None,
        },
        schema={"_content": pl.String(), "_place": pl.String(), **QUARANTINE_COLUMNS},
    )


def _content(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return "\\x" + raw.hex()
    return text if not text.startswith("\\x") else "\\x" + raw.hex()


def without_quarantined(rows: pl.DataFrame, quarantine: pl.LazyFrame) -> pl.DataFrame:
    """Return those rows that the quarantine does not hold, but for rows of stopped batches, which get another try.

    What the quarantine has no column for counts as null there: a row with a value in it is another row.
    """
    names = [name for name in quarantine.collect_schema().names() if name not in RESERVED]
    held = quarantine.filter(~pl.col("_reasons").list.contains(STOPPED), pl.col("_row").is_not_null()).select(names)
    texts = as_texts(rows)
    both = [name for name in names if name in texts.columns]
    if not both:
        return rows
    beyond = [name for name in texts.columns if name not in names and name not in RESERVED]
    alike = texts.with_row_index("_row").filter(
        pl.all_horizontal(pl.lit(value=True), *(pl.col(name).is_null() for name in beyond))
    )
    found = alike.lazy().join(held, on=both, how="semi", nulls_equal=True).select("_row").collect()
    return rows.filter(~pl.int_range(pl.len()).is_in(found["_row"].implode()))


def as_texts(rows: pl.DataFrame) -> pl.DataFrame:
    """Return every value as text: times in ISO 8601, bytes in hexadecimal, lists and structs as JSON."""
    return rows.select(_text(name, dtype) for name, dtype in rows.schema.items())


def _text(name: str, dtype: pl.DataType) -> pl.Expr:
    value = pl.col(name)
    if isinstance(dtype, pl.Binary):
        return value.bin.encode("hex")
    if dtype.is_nested():
        return pl.when(value.is_not_null()).then(pl.struct(value).struct.json_encode()).alias(name)
    return value.dt.to_string("iso:strict") if dtype.is_temporal() else value.cast(pl.String)


def _check_time(rows: pl.DataFrame, dataset: Dataset) -> None:
    if dataset.time is not None and not isinstance(rows.schema[dataset.time], pl.Date | pl.Datetime):
        why = f"it is the time of {dataset.name}, and its values are {rows.schema[dataset.time]}"
        detail = {"column": dataset.time}
        raise Problem(
            "column.invalid", f"The column '{dataset.time}' holds no times", why, "cast it to a date or datetime", detail
        )


def _already_there(rows: pl.DataFrame, dataset: Dataset, known_keys: pl.LazyFrame) -> pl.Series:
    """Return which rows have a key that the dataset holds. The known keys stream past those of the batch, which are fewer."""
    keys = rows.select(dataset.key)
    met = known_keys.select(dataset.key).join(keys.lazy().unique(), on=list(dataset.key), how="semi").unique().collect()
    found = keys.with_row_index("_row").join(met, on=list(dataset.key), how="semi")["_row"]
    return pl.select(pl.int_range(rows.height).is_in(found.implode())).to_series()


def _all_stopped(rows: pl.DataFrame, reasons: pl.DataFrame, refused: Sequence[str]) -> pl.DataFrame:
    every = pl.DataFrame({"row": pl.int_range(rows.height, dtype=pl.Int64, eager=True)})
    own = every.join(reasons, on="row", how="left", maintain_order="left")
    return own.with_columns(
        reasons=pl.concat_list(pl.col("reasons").fill_null([]), *(pl.lit(reason) for reason in (*refused, STOPPED)))
    )
