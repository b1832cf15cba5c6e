"""Steps on numbers: scaling, bounds, ranks, logarithms, arithmetic between columns, buckets, waves."""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, Final

import polars as pl

from modelyard.core import JsonObject
from modelyard.prepare.expressions import Arithmetic, Bucket, Choose, Compare, Constant, Expression, Math, MathName, Rank
from modelyard.prepare.scope import Scope
from modelyard.prepare.steps.definition import LARGEST, Definition, Parameter, Training, number_between, one_of, statistic, told
from modelyard.prepare.types import DeclaredStep

_NAME: Final = Parameter("name", (str, type(None)), None)
_BOUND: Final = (float, type(None))
_NO_SPREAD: Final = 1e-300  # 1 / 1e-300 is finite, and so is a float32 of most numbers times it


def _clip(step: DeclaredStep, scope: Scope) -> None:
    for name in step.columns:
        scope.set(name, _bounded(scope.number(name, told(step)), step.params["lower"], step.params["upper"]))


def _bounded(number: Expression, lower: float | None, upper: float | None) -> Expression:
    value = number
    if upper is not None:
        value = Choose(Compare(">", number, float(upper)), Constant(float(upper)), value)
    if lower is not None:
        value = Choose(Compare("<", number, float(lower)), Constant(float(lower)), value)
    return value


def _clip_check(step: DeclaredStep) -> str | None:
    lower, upper = step.params["lower"], step.params["upper"]
    if lower is None and upper is None:
        return "it needs a lower or an upper bound"
    return None if lower is None or upper is None or lower <= upper else f"lower {lower:g} is above upper {upper:g}"


def _clamp_learn(step: DeclaredStep, training: Training) -> JsonObject:
    bounds = _by_quartiles if step.params["method"] == "iqr" else _by_share
    return {name: bounds(step, training.finite(name, step)) for name in step.columns}


def _by_quartiles(step: DeclaredStep, values: pl.Series) -> JsonObject:
    """Return the bounds that lie `factor` distances of quartiles beyond them, none where the quartiles are equal."""
    width = step.params["factor"] * statistic(values, _quartile_distance)
    if not width > 0.0:
        return {"lower": None, "upper": None}
    first, third = (statistic(values, _quantile(share)) for share in (0.25, 0.75))
    return {"lower": max(-LARGEST, first - width), "upper": min(LARGEST, third + width)}


def _by_share(step: DeclaredStep, values: pl.Series) -> JsonObject:
    share = step.params["share"]
    return {"lower": statistic(values, _quantile(share)), "upper": statistic(values, _quantile(1.0 - share))}


def _quantile(share: float) -> Callable[[pl.Series], Any]:
    return partial(pl.Series.quantile, quantile=share, interpolation="linear")


def _clamp(step: DeclaredStep, scope: Scope) -> None:
    for name in step.columns:
        learned = (step.fitted or {})[name]
        scope.set(name, _bounded(scope.number(name, told(step)), learned["lower"], learned["upper"]))


def _rank_learn(step: DeclaredStep, training: Training) -> JsonObject:
    return {name: _line(training.finite(name, step).sort(), step.params["count"]) for name in step.columns}


def _line(values: pl.Series, count: int) -> JsonObject:
    """Return quantiles, rising, and the ranks at them; equal ones have the middle of their ranks."""
    last = min(count, len(values)) - 1
    ranks: dict[float, list[float]] = {}
    for place in range(last + 1):
        share = place / last if last else 0.5
        ranks.setdefault(statistic(values, _quantile(share)) + 0.0, []).append(share)
    knots = sorted((at, (shares[0] + shares[-1]) / 2) for at, shares in ranks.items())
    between = [
        (low / 2 + high / 2, (rank + next_rank) / 2)
        for (low, rank), (high, next_rank) in pairwise(knots)
        if high - low > LARGEST  # no span may overflow
    ]
    at, shares = zip(*sorted(knots + between), strict=True)
    return {"at": list(at), "ranks": list(shares)}


def _quantile_rank(step: DeclaredStep, scope: Scope) -> None:
    for name in step.columns:
        learned = (step.fitted or {})[name]
        at, ranks = (tuple(float(number) for number in learned[word]) for word in ("at", "ranks"))
        scope.set(name, Rank(scope.number(name, told(step)), at, ranks))


def _absolute(step: DeclaredStep, scope: Scope) -> None:
    for name in step.columns:
        scope.set(name, Math("abs", scope.number(name, told(step))))


def _sign_log(step: DeclaredStep, scope: Scope) -> None:
    for name in step.columns:
        number = scope.number(name, told(step))
        logarithm = Math("log1p", Math("abs", number))
        scope.set(name, Choose(Compare("<", number, 0.0), Arithmetic("*", logarithm, Constant(-1.0)), logarithm))


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
    edges = {statistic(values, _quantile(i / count)) for i in range(1, count)}
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
    Definition(
        "clamp_outliers",
        _clamp,
        _clamp_learn,
        parameters=(
            Parameter("method", (str,), "iqr", one_of(("iqr", "quantile"))),
            Parameter("factor", (float,), 1.5, number_between(0.0)),
            Parameter("share", (float,), 0.01, number_between(0.0, 0.5)),
        ),
    ),
    Definition(
        "quantile_rank", _quantile_rank, _rank_learn, parameters=(Parameter("count", (int,), 1000, number_between(2, 10_000)),)
    ),
    Definition("standardise", _scale, _standardise_learn),
    Definition("min_max", _scale, _min_max_learn),
    Definition("robust_scale", _scale, _robust_learn),
    Definition("absolute", _absolute),
    Definition("sign_log", _sign_log),
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
            Parameter("edges", (list, type(None)), None, items=float),
            Parameter("count", (int, type(None)), None, number_between(2, 1000)),
        ),
    ),
    Definition(
        "cyclical",
        _cyclical,
        parameters=(Parameter("period", (float,), check=_POSITIVE), Parameter("drop", (bool,), default=True)),
    ),
)
