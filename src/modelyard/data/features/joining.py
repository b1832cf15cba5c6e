"""Point-in-time joins over many tables: to each row what its lookups knew strictly before it, and nothing later."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from modelyard.core import PageRequest, Problem, ProjectId
from modelyard.data import reading
from modelyard.data.asof import last_before
from modelyard.data.features.rules import default_of
from modelyard.data.features.types import Features, Lookup, Missing
from modelyard.data.schema import column_missing
from modelyard.data.store import DataTransaction
from modelyard.data.types import Dataset, DatasetVersion, DatasetVersionId

_AT = "_at"  # one of the names that no column of a dataset may have


def newest_tables(tx: DataTransaction, project: ProjectId, lookups: Sequence[Lookup]) -> list[tuple[Dataset, DatasetVersion]]:
    """Return what each lookup reads now: its dataset, and the newest version.

    Raises
    ------
    Problem
        `dataset_version.missing` where a dataset is not there, or holds nothing.
    """
    datasets = {dataset.name: dataset for dataset in tx.datasets.find(project)}
    found: dict[str, tuple[Dataset, DatasetVersion]] = {}
    for name in dict.fromkeys(lookup.dataset for lookup in lookups):
        newest = next(iter(tx.datasets.versions(project, PageRequest(limit=1), name=name).items), None)
        if newest is None:
            why, step = "no batch was admitted yet", f"yard dataset snapshot {name}"
            raise Problem("dataset_version.missing", f"Nothing can be looked up in '{name}'", why, step)
        found[name] = datasets[name], newest
    return [found[lookup.dataset] for lookup in lookups]


def read_tables(
    ports: reading.Ports, project: ProjectId, lookups: Sequence[Lookup], versions: Sequence[DatasetVersionId]
) -> list[pl.DataFrame]:
    """Return what each lookup reads of its version: entity, time and columns, in the order in which the rows came."""
    with ports.transaction() as tx:
        found = tx.datasets.get_versions(project, list(versions))
    return [
        feature_rows(reading.read(ports, project, version), (*lookup.entity, lookup.time, *lookup.columns)).collect()
        for lookup, version in zip(lookups, found, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class FeatureJoin:
    """What a model version looks up, read: rows are joined to it as to the same versions of the tables each time."""

    features: Features
    versions: tuple[DatasetVersionId, ...]  # of the tables, one a lookup
    tables: Sequence[pl.DataFrame]

    def joined(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows with what is looked up. Raises as `join_features`."""
        return join_features(rows, self.features.time, self.features.lookups, self.tables)


def open_join(
    ports: reading.Ports, project: ProjectId, features: Features, versions: Sequence[DatasetVersionId] = ()
) -> FeatureJoin:
    """Return the join of what a model version looks up, in these versions of the tables or in the newest.

    Raises
    ------
    Problem
        What `newest_tables` raises; `dataset.missing`.
    """
    if not versions:
        with ports.transaction() as tx:
            versions = [version.id for _, version in newest_tables(tx, project, features.lookups)]
    return FeatureJoin(features, tuple(versions), read_tables(ports, project, features.lookups, versions))


def feature_rows(rows: pl.LazyFrame, columns: Sequence[str] | None = None) -> pl.LazyFrame:
    """Return rows of a feature table as every reader takes their values: a number that is none is missing, decimals are floats.

    What is joined and what is looked up online come from here, so that they are equal.
    """
    taken = rows if columns is None else rows.select(list(dict.fromkeys(columns)))
    floats = [name for name, dtype in taken.collect_schema().items() if dtype.is_float()]
    decimals = [name for name, dtype in taken.collect_schema().items() if isinstance(dtype, pl.Decimal)]
    return taken.with_columns(pl.col(floats).fill_nan(None), pl.col(decimals).cast(pl.Float64))


def join_features(rows: pl.DataFrame, time: str, lookups: Sequence[Lookup], tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return the rows, in their order, with the columns of all lookups after their own.

    A value is that of the last row of its entity strictly before the row's time; older than allowed, or null there, it is
    missing, and the lookup says what stands for it.

    Parameters
    ----------
    time
        The column of the rows' time: a date or datetime, with a zone where the tables' times have one.
    tables
        What `read_tables` gave for these lookups.

    Raises
    ------
    Problem
        `column.missing` for a column that the rows lack; `column.exists` for one that they have and a lookup brings;
        `column.invalid` for times of another form, `lookup.invalid` for an entity that is named by another type;
        `row.invalid` where a value is missing and the lookup refuses that.
    """
    joined = rows
    for lookup, table in zip(lookups, tables, strict=True):
        check_free(lookup, joined.columns)
        known = _as_the_row_names_it(lookup, table, joined)
        age = None if lookup.max_age_s is None else timedelta(seconds=lookup.max_age_s)
        joined = last_before(joined, known, on=time, right_on=_AT, by=lookup.by, tolerance=age).drop(_AT)
        joined = _with_stand_ins(joined, lookup)
    return joined


def check_free(lookup: Lookup, columns: Collection[str]) -> None:
    """Return when rows of these columns can take what is looked up. Problem `column.exists`."""
    for name in lookup.names:
        if name in columns:
            why, step = f"it is looked up in {lookup.dataset}", "leave the column out"
            raise Problem("column.exists", f"The rows have a column '{name}'", why, step)


def _as_the_row_names_it(lookup: Lookup, table: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Return a table with the row's names for its columns, and its entity in the row's types."""
    named = []
    for name, its in zip(lookup.by, lookup.entity, strict=True):
        if name not in rows.columns:
            raise column_missing(name, rows.columns)
        wanted, held = rows.schema[name], table.schema[its]
        if wanted != held and not (wanted.is_integer() and held.is_integer()):
            why = f"'{name}' of the rows is {wanted}, and '{its}' of {lookup.dataset} is {held}"
            raise Problem("lookup.invalid", f"The rows cannot be looked up in {lookup.dataset}", why, f"cast '{name}'")
        named.append(pl.col(its).cast(wanted, strict=False).alias(name))  # of an integer beyond the row's type there is no row
    values = [pl.col(name).alias(given) for name, given in zip(lookup.columns, lookup.names, strict=True)]
    return table.select(*named, pl.col(lookup.time).alias(_AT), *values).drop_nulls(list(lookup.by))


def _with_stand_ins(rows: pl.DataFrame, lookup: Lookup) -> pl.DataFrame:
    if lookup.missing is Missing.REFUSE:
        gaps = rows.select(pl.any_horizontal(pl.col(lookup.names).is_null())).to_series()
        if gaps.any():
            raise refused_row(lookup, int(gaps.arg_true()[0]), int(gaps.sum()))
    if lookup.missing is Missing.DEFAULT:
        stand_ins = [default_of(lookup, place, rows.schema[name])[0] for place, name in enumerate(lookup.names)]
        filled = zip(lookup.names, stand_ins, strict=True)
        return rows.with_columns(pl.col(name).fill_null(pl.lit(one.item(), one.dtype)) for name, one in filled)
    return rows


def refused_row(lookup: Lookup, row: int, rows: int = 1) -> Problem:
    """Return the problem of a row for which a value is missing that its lookup does not do without; the first of `rows`."""
    age = "" if lookup.max_age_s is None else f" that is not older than {timedelta(seconds=lookup.max_age_s)}"
    why = f"{lookup.dataset} has no {' or '.join(lookup.columns)} of its {', '.join(lookup.by)} before its time{age}"
    what = f"Row {row} lacks what has to be looked up" + (f", as do {rows - 1:,} others" if rows > 1 else "")
    step = f"take in newer rows: yard dataset snapshot {lookup.dataset}; or declare what stands for a missing value"
    return Problem("row.invalid", what, why, step, {"row": row, "columns": list(lookup.names)})
