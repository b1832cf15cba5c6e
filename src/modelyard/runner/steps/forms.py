"""Further forms of a model, each held against the native one: ONNX, and ONNX in eight bits."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modelyard.core import Problem
from modelyard.registry import Form
from modelyard.runner.context import StepContext
from modelyard.runner.steps.fitting import Features
from modelyard.training import Framework

PARITY = 1e-6  # an ONNX form that differs by more on any row compared is not kept
MAX_EDGE_ROWS = 20_000
MAX_THRESHOLDS = 200  # of one feature
COMPACT = "int8"
NEARLY = 0.02  # of a probability; of a regression times the native answers' standard deviation
CALIBRATION_ROWS = 400
ALONE_ROWS = 100  # asked one by one beside all together


def onnx_form(context: StepContext, framework: Framework, model: object, rows: Features) -> Form | None:
    """Return the ONNX form when it gives the native answers on these and on edge rows; None when it cannot be had."""
    features = rows.shape[1]
    try:
        content = framework.to_onnx(model, features)
    except Problem:
        return None
    path = context.scratch / "model.onnx"
    path.write_bytes(content)
    runtime = context.platform.framework("onnxruntime")
    rows = np.concatenate([rows, edge_rows(rows, framework.thresholds(model, features))])
    rows, native = _answered(framework, model, rows)
    if not len(rows):
        return None
    converted = runtime.predict(runtime.load(path), rows)
    if converted.shape != native.shape:
        return None
    worst = furthest(converted, native)
    if not worst <= PARITY:
        return None
    [digest] = context.platform.objects.put_files(context.project, [path])
    return Form("onnx", digest, path.stat().st_size, runtime.name, len(rows), worst, tolerance=PARITY)


def compact_form(
    context: StepContext, framework: Framework, model: object, onnx: Form, rows: Features, *, classifies: bool
) -> Form | None:
    """Return the form in eight bits when it is nearly the native one on rows held out and at their ends; else None.

    It is smaller than the ONNX form that it is made of, which is kept. Each row has the same answer alone and among others, and
    one with a gap has none where the ONNX form has none.

    Parameters
    ----------
    classifies
        Whether answers are probabilities, which may differ by 0.02; else by 2 % of the native answers' standard deviation.
    """
    platform = context.platform
    compactor, runtime = platform.compactor(COMPACT), platform.framework(onnx.framework)
    [source] = platform.objects.get(context.project, [onnx.digest])
    try:
        content = compactor.compact(source, _calibration(rows))
    except Problem:  # trees end here, before anything is asked
        return None
    asked = np.concatenate([rows, end_rows(rows), edge_rows(rows, framework.thresholds(model, rows.shape[1]))])
    asked, native = _answered(framework, model, asked)
    known = np.isfinite(native.reshape(len(native), -1)).all(axis=1)
    asked, native = asked[known], native[known]
    if not len(asked):
        return None
    whole, compact = context.scratch / "whole.onnx", context.scratch / "compact.onnx"
    whole.write_bytes(source)
    compact.write_bytes(content)
    made = runtime.load(compact)
    answers = runtime.predict(made, asked)
    tolerance = NEARLY if classifies or native.ndim > 1 else NEARLY * float(np.std(native))
    worst = furthest(answers, native) if answers.shape == native.shape else np.inf
    if not worst <= tolerance or len(content) >= onnx.size_bytes:
        return None
    if not _answers_alike_alone(runtime, made, asked, answers) or not _same_gaps(runtime, runtime.load(whole), made, rows):
        return None
    [digest] = platform.objects.put_files(context.project, [compact])
    return Form(compactor.form, digest, len(content), runtime.name, len(asked), worst, tolerance=tolerance, approximate=True)


def furthest(answers: NDArray[np.float64], native: NDArray[np.float64]) -> float:
    """Return the largest difference between answers; infinite where one has no number and the other has another answer.

    >>> furthest(np.array([1.0, np.nan]), np.array([1.5, np.nan])), furthest(np.array([1.0]), np.array([np.nan]))
    (0.5, inf)
    """
    apart = np.abs(answers - native)
    apart[np.isnan(apart)] = np.inf
    apart[(answers == native) | (np.isnan(answers) & np.isnan(native))] = 0.0
    return float(np.max(apart, initial=0.0))


def end_rows(rows: Features) -> Features:
    """Return real rows with one feature at its least or greatest: where ranges end."""
    features = rows.shape[1]
    picked = np.resize(np.arange(len(rows)), 2 * features)
    found = rows[picked].copy()
    for feature in range(features):
        known = rows[:, feature][np.isfinite(rows[:, feature])]
        found[2 * feature : 2 * feature + 2, feature] = (known.min(), known.max()) if len(known) else 0.0
    return found


def _calibration(rows: Features) -> Features:
    """Return rows, thinned evenly, and those at the ends of their ranges: the whole ones among them."""
    thinned = rows[np.unique(np.linspace(0, len(rows) - 1, CALIBRATION_ROWS, dtype=int))]
    chosen: Features = np.concatenate([thinned, end_rows(rows)])
    return chosen[np.isfinite(chosen).all(axis=1)]


def _answers_alike_alone(runtime: Framework, model: object, rows: Features, together: NDArray[np.float64]) -> bool:
    """Return whether rows, thinned evenly, have to the last bit the answers alone that they have among others."""
    chosen = np.unique(np.linspace(0, len(rows) - 1, ALONE_ROWS, dtype=int))
    alone = np.concatenate([runtime.predict(model, rows[place : place + 1]) for place in chosen])
    return np.array_equal(alone, together[chosen])


def _same_gaps(runtime: Framework, whole: object, compact: object, rows: Features) -> bool:
    """Return whether two models have answers to the same ones among rows with a gap in one feature."""
    gaps = rows[np.resize(np.arange(len(rows)), rows.shape[1])].copy()
    np.fill_diagonal(gaps, np.nan)
    return np.array_equal(np.isfinite(runtime.predict(whole, gaps)), np.isfinite(runtime.predict(compact, gaps)))


def _answered(framework: Framework, model: object, rows: Features) -> tuple[Features, NDArray[np.float64]]:
    """Return the rows that the native form answers, with its answers: all, or those without nulls where it takes none."""
    try:
        return rows, framework.predict(model, rows)
    except ValueError:  # what estimators raise for a null that they have no rule for
        whole = rows[~np.isnan(rows).any(axis=1)]
        return whole, framework.predict(model, whole) if len(whole) else np.empty(0)


def edge_rows(rows: Features, thresholds: Sequence[NDArray[np.float32]]) -> Features:
    """Return real rows with one feature set at, just below and just above each split value, or to null: where trees may part.

    At most 20,000 rows, each feature's thresholds thinned evenly so that every feature has its share; the same arguments give
    the same rows.
    """
    if not len(rows) or not thresholds:
        return rows[:0]
    most = max(1, min(MAX_THRESHOLDS, (MAX_EDGE_ROWS // len(thresholds) - 1) // 3))
    edges: list[Features] = []
    place = 0
    for feature, values in enumerate(thresholds):
        chosen = values[:: max(1, -(-len(values) // most))]
        beside = np.concatenate([chosen, np.nextafter(chosen, np.float32(-np.inf)), np.nextafter(chosen, np.float32(np.inf))])
        beside = np.append(beside, np.float32(np.nan)).astype(np.float32)
        picked = rows[(place + np.arange(len(beside))) % len(rows)].copy()
        picked[:, feature] = beside
        place += len(beside)
        edges.append(picked)
    found: Features = np.concatenate(edges)
    return found[:MAX_EDGE_ROWS]
