"""Steps on numbers: scaling, bounds, logarithms, arithmetic between columns, buckets, waves."""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, Final

import polars as pl

from modelyard.core import JsonObject
from modelyard.prepare.expressions import Arithmetic, Bucket, Choose, Compare, Constant, Math, MathName
from modelyard.prepare.scope import Scope
from modelyard.prepare.steps.definition import Definition, Parameter, Training, number_between, statistic, told
from modelyard.prepare.types import DeclaredStep

_NAME: Final = Parameter("name", (str, type(None)), None)
_BOUND: Final = (float, type(None))
_NO_SPREAD: Final = 1e-300  # 1 / 1e-300 is finite, and so is a float32 of most numbers times it


def _clip(step: DeclaredStep, scope: Scope) -> None:
    lower, upper = step.params["lower"], step.params["upper"]
    for name in step.columns:
        number = value = scope.number(name, told(step))
        if upper is not None:
            value = Choose(Compare(">", number, float(upper)), Constant(float(upper)), value)
        if lower is not None:
            value = Choose(Compare("<", number, float(lower)), Constant(float(lower)), value)
        scope.set(name, value)


def _clip_check(step: DeclaredStep) -> str | None:
    lower, upper = step.params["lower"], step.params["upper"]
    if lower is None and upper is None:
        return "it needs a lower or an upper bound"
    return None if lower is None or upper is None or lower <= upper else f"lower {lower:g} is above upper {upper:g}"


def _scale(step: DeclaredStep, scope: Scope) -> None:
    for name in step.columns:
        learned = (step.fitted or {})[name]
        centred = Arithmetic("-", scope.number(name, told(step)), Constant(float(learned["centre"])))
        scope.set(name, Arithmetic("*", centred, Constant(float(learned["factor"]))))


def _learned_scale(centre: float, spread: float) -> JsonObject:
    """Return the centre (not -0.0) and 1 / spread. A column that does not vary becomes 0: its factor is 1."""
    return {"centre": centre + 0.0, "factor": 1.0 if spread < _NO_SPREAD else 1.0 / spread}


def _standardise_learn(step: DeclaredStep, training: Training) -> JsonObject:
    return {name: _scale_by(training.finite(name, step), pl.Series.mean, _deviation) for name in step.columns}


def _min_max_learn(step: DeclaredStep, training: Training) -> JsonObject:
    return {name: _scale_by(training.finite(name, step), pl.Series.min, _span) for name in step.columns}


def _robust_learn(step: DeclaredStep, training: Training) -> JsonObject:
    return {name: _scale_by(training.finite(name, step), pl.Series.median, _quartile_distance) for name in step.columns}


def _scale_by(values: pl.Series, centre: Callable[[pl.Series], Any], spread: Callable[[pl.Series], Any]) -> JsonObject:
    return _learned_scale(statistic(values, centre), statistic(values, spread))


def _deviation(values: pl.Series) -> Any:
    return values.std(ddof=0)


def _span(values: pl.Series) -> Any:
    least, most = values.min(), values.max()
    return most - least  # type: ignore[operator]  # Polars types an extreme of any dtype


def _quartile_distance(values: pl.Series) -> Any:
    first, third = values.quantile(0.25, "linear"), values.quantile(0.75, "linear")
    return third - first  # type: ignore[operator]  # as above


def _math(name: MathName) -> Definition:
    def write(step: DeclaredStep, scope: Scope) -> None:
        for column in step.columns:
            scope.set(column, Math(name, scope.number(column, told(step))))

    return Definition(name, write)


def _ratio(step: DeclaredStep, scope: Scope) -> None:
    left, right = (scope.number(name, told(step)) for name in step.columns)
    scope.add(_named(step, "_per_"), Arithmetic("/", left, right), told(step))


def _difference(step: DeclaredStep, scope: Scope) -> None:
    left, right = (scope.number(name, told(step)) for name in step.columns)
    scope.add(_named(step, "_minus_"), Arithmetic("-", left, right), told(step))


def _product(step: DeclaredStep, scope: Scope) -> None:
    left, right = (scope.number(name, told(step)) for name in step.columns)
    scope.add(_named(step, "_times_"), Arithmetic("*", left, right), told(step))


def _total(step: DeclaredStep, scope: Scope) -> None:
    value, *others = (scope.number(name, told(step)) for name in step.columns)
    for other in others:
        value = Arithmetic("+", value, other)
    scope.add(_named(step, "_plus_"), value, told(step))


def _named(step: DeclaredStep, word: str) -> str:
    return step.params["name"] or word.join(step.columns)


def _bucket_check(step: DeclaredStep) -> str | None:
    edges, count = step.params["edges"], step.params["count"]
    if (edges is None) == (count is None):
        return "it needs either edges or a count"
    if edges is None:
        return None
    if not edges or not all(type(edge) in {int, float} and math.isfinite(edge) for edge in edges):
        return f"edges are to be finite numbers, and are {edges!r}"
    return None if all(low < high for low, high in pairwise(edges)) else f"edges are to rise, and are {edges!r}"


def _bucket_learn(step: DeclaredStep, training: Training) -> JsonObject:
    if step.params["edges"] is not None:
        return {}
    found = {name: training.finite(name, step) for name in step.columns}
    return {name: _quantiles(values, step.params["count"]) for name, values in found.items()}


def _quantiles(values: pl.Series, count: int) -> list[float]:
    edges = {
        statistic(values, partial(pl.Series.quantile, quantile=i / count, interpolation="linear")) for i in range(1, count)
    }
    return sorted(edges - {statistic(values, pl.Series.min)})  # every value reaches the least: as an edge it parts nothing


def _bucket(step: DeclaredStep, scope: Scope) -> None:
    for name in step.columns:
        edges = (step.fitted or {}).get(name, step.params["edges"])
        scope.set(name, Bucket(scope.number(name, told(step)), tuple(float(edge) for edge in edges)))


def _cyclical(step: DeclaredStep, scope: Scope) -> None:
    for name in step.columns:
        angle = Arithmetic("*", scope.number(name, told(step)), Constant(2.0 * math.pi / float(step.params["period"])))
        if step.params["drop"]:
            del scope.columns[name]
        scope.add(f"{name}_sin", Math("sin", angle), told(step))
        scope.add(f"{name}_cos", Math("cos", angle), told(step))


_POSITIVE: Final = number_between(1e-300)

NUMBERS: Final = (
    Definition(
        "clip", _clip, parameters=(Parameter("lower", _BOUND, None), Parameter("upper", _BOUND, None)), check=_clip_check
    ),
    Definition("standardise", _scale, _standardise_learn),
    Definition("min_max", _scale, _min_max_learn),
    Definition("robust_scale", _scale, _robust_learn),
    _math("log1p"),
    _math("sqrt"),
    Definition("ratio", _ratio, columns=(2, 2), parameters=(_NAME,)),
    Definition("difference", _difference, columns=(2, 2), parameters=(_NAME,)),
    Definition("product", _product, columns=(2, 2), parameters=(_NAME,)),
    Definition("total", _total, columns=(2, 100), parameters=(_NAME,)),
    Definition(
        "bucket",
        _bucket,
        _bucket_learn,
        check=_bucket_check,
        parameters=(
            Parameter("edges", (list, type(None)), None),
            Parameter("count", (int, type(None)), None, number_between(2, 1000)),
        ),
    ),
    Definition(
        "cyclical",
        _cyclical,
        parameters=(Parameter("period", (float,), check=_POSITIVE), Parameter("drop", (bool,), default=True)),
    ),
)
