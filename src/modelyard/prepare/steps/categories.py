"""Steps on categories (text, integer or boolean): one column each, order by frequency, target mean, frequency, hash, pairs."""

from typing import Any, Final

import polars as pl

from modelyard.core import JsonObject, Problem
from modelyard.prepare.expressions import Column, Compare, Expression, Lookup, Pair, PerValue, ToNumber
from modelyard.prepare.scope import Scope
from modelyard.prepare.steps.definition import Definition, Parameter, Training, nothing_to_learn, number_between, told
from modelyard.prepare.types import DeclaredStep
from modelyard.prepare.values import CATEGORICAL, ValueKind

MAX_CATEGORIES: Final = 100_000


def _column(step: DeclaredStep, scope: Scope, name: str) -> Column:
    return scope.column(name, CATEGORICAL, told(step))


def _counts(name: str, step: DeclaredStep, training: Training) -> pl.DataFrame:
    """Return the categories seen and how often, the most frequent first and equals in order of value."""
    values = training.values(_column(step, training.scope, name)).rename("value")
    counts = values.drop_nulls().to_frame().group_by("value").agg(pl.len().alias("count"))
    if counts.is_empty():
        raise nothing_to_learn(name, step)
    if counts.height > MAX_CATEGORIES:
        raise Problem(
            "column.invalid",
            f"{told(step)} cannot use column '{name}'",
            f"it has {counts.height} categories, over the limit of {MAX_CATEGORIES}",
            f"prep.hash_bucket('{name}', 1000)",
        )
    return counts.sort("count", "value", descending=[True, False])


def _one_hot_learn(step: DeclaredStep, training: Training) -> JsonObject:
    learned = {}
    for name in step.columns:
        counts = _counts(name, step, training).filter(pl.col("count") >= step.params["min_count"])
        learned[name] = counts.head(step.params["limit"])["value"].sort().to_list()
        if not learned[name]:
            raise nothing_to_learn(name, step)
    return learned


def _one_hot(step: DeclaredStep, scope: Scope) -> None:
    for name in step.columns:
        column = _column(step, scope, name)
        del scope.columns[name]
        for category in (step.fitted or {})[name]:
            scope.add(f"{name}_{_word(category)}", ToNumber(Compare("==", column, category)), told(step))


def _word(category: Any) -> str:
    return str(category).lower() if isinstance(category, bool) else str(category)


def _ordinal_learn(step: DeclaredStep, training: Training) -> JsonObject:
    return {name: _counts(name, step, training)["value"].to_list() for name in step.columns}


def _ordinal(step: DeclaredStep, scope: Scope) -> None:
    for name in step.columns:
        keys = tuple((step.fitted or {})[name])
        ranks = tuple(float(rank) for rank in range(len(keys)))
        scope.set(name, Lookup(_column(step, scope, name), keys, ranks, missing=float("nan"), unseen=-1.0))


def _frequency_learn(step: DeclaredStep, training: Training) -> JsonObject:
    learned = {}
    rows = training.frame.height
    for name in step.columns:
        counts = _counts(name, step, training)
        shares = [count / rows for count in counts["count"]]
        learned[name] = _table(counts["value"], shares, (rows - sum(counts["count"])) / rows, 0.0)
    return learned


def _target_mean_learn(step: DeclaredStep, training: Training) -> JsonObject:
    if training.label is None:
        raise Problem(
            "step.invalid",
            f"{told(step)} cannot learn",
            "it needs the label, and none was named",
            "name the label when fitting",
        )
    learned = {}
    smoothing = float(step.params["smoothing"])
    for name in step.columns:
        value = training.values(_column(step, training.scope, name))
        rows = pl.DataFrame({"value": value, "label": training.label}).filter(pl.col("label").is_finite())
        if rows.is_empty():
            raise Problem("column.invalid", f"{told(step)} cannot learn", "no training row has a finite label")
        prior = float(rows["label"].mean())  # type: ignore[arg-type]  # Polars types a mean of any dtype
        total, count = pl.col("label").sum(), pl.len()
        mean = ((total + smoothing * prior) / (count + smoothing)).alias("mean")
        means = rows.group_by("value", maintain_order=True).agg(mean).sort("value")
        if not means["mean"].is_finite().all():
            raise Problem("column.invalid", f"{told(step)} cannot learn", "its sums leave float64", "scale the label")
        present, absent = means.drop_nulls("value"), means.filter(pl.col("value").is_null())
        missing = prior if absent.is_empty() else absent["mean"][0]
        learned[name] = _table(present["value"], present["mean"].to_list(), missing, prior)
    return learned


def _table(keys: pl.Series, numbers: list[float], missing: float, unseen: float) -> JsonObject:
    return {"keys": keys.to_list(), "numbers": numbers, "missing": missing, "unseen": unseen}


def _mapped(step: DeclaredStep, scope: Scope) -> None:
    for name in step.columns:
        table = (step.fitted or {})[name]
        numbers = tuple(float(number) for number in table["numbers"])
        column = _column(step, scope, name)
        scope.set(name, Lookup(column, tuple(table["keys"]), numbers, float(table["missing"]), float(table["unseen"])))


def _hash_bucket(step: DeclaredStep, scope: Scope) -> None:
    for name in step.columns:
        scope.set(name, PerValue("hash_bucket", _column(step, scope, name), ValueKind.NUMBER, step.params["count"]))


def _cross(step: DeclaredStep, scope: Scope) -> None:
    left, right = (_as_text(_column(step, scope, name)) for name in step.columns)
    scope.add(step.params["name"] or "_x_".join(step.columns), Pair(left, right), told(step))


def _as_text(column: Column) -> Expression:
    return column if column.kind is ValueKind.TEXT else PerValue("to_text", column, ValueKind.TEXT)


CATEGORIES: Final = (
    Definition(
        "one_hot",
        _one_hot,
        _one_hot_learn,
        parameters=(
            Parameter("limit", (int,), 50, number_between(1, 10_000)),
            Parameter("min_count", (int,), 1, number_between(1)),
        ),
    ),
    Definition("ordinal", _ordinal, _ordinal_learn),
    Definition("frequency", _mapped, _frequency_learn),
    Definition(
        "target_mean", _mapped, _target_mean_learn, parameters=(Parameter("smoothing", (float,), 20.0, number_between(0.0)),)
    ),
    Definition("hash_bucket", _hash_bucket, parameters=(Parameter("count", (int,), check=number_between(1, 1 << 24)),)),
    Definition("cross", _cross, columns=(2, 2), parameters=(Parameter("name", (str, type(None)), None),)),
)
