"""From a trained run to a version's package: forms held against the native one, latency, slices, card."""

import statistics
import time
from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.core import Problem
from modelyard.data import Column, DatasetVersion, reading
from modelyard.data.admission import is_sound
from modelyard.prepare import FittedPipeline, Transform
from modelyard.registry import Evaluation, Form, Signature, Slice
from modelyard.registry.service import Package
from modelyard.runner.context import StepContext
from modelyard.runner.steps.fitting import Features, Part, dataset_of
from modelyard.training import Framework, Run, RunKind, Trainer
from modelyard.training.metrics import measure

PARITY = 1e-6  # an ONNX form that differs by more on any row compared is not kept
MAX_EDGE_ROWS = 20_000
MAX_THRESHOLDS = 200  # of one feature
LATENCY_ROUNDS = 200
MAX_SLICE_VALUES = 12
LEAST_SLICE_ROWS = 100


def build_package(
    context: StepContext,
    run: Run,
    trainer: Trainer,
    data: DatasetVersion,
    *,
    model: object,
    framework: Framework,
    fitted: FittedPipeline,
    test: Part,
    evaluations: Sequence[Evaluation] = (),
    note: str = "",
    reference: Mapping[str, float] | None = None,
) -> Package:
    """Return the package of a trained run, everything in it measured here."""
    native = _native_form(context, run, framework, model)
    forms = [native]
    context.progress(0.85, "convert to ONNX and compare")
    converted = onnx_form(context, framework, model, test.X)
    if converted is not None:
        forms.append(converted)
    transform = Transform(fitted)
    forms = [_with_latency(context, form, transform, test, [c.name for c in fitted.inputs]) for form in forms]
    answers = framework.predict(model, test.X) if len(test) else np.empty(0)
    slices = _slices(test, answers, trainer.label)
    platform = context.platform
    held = reading.read(platform, context.project, data)
    green = is_sound(held, dataset_of(context, data), platform.clock())
    signature = Signature(tuple(Column(column.name, column.dtype) for column in fitted.inputs), outputs_of(test, answers))
    return Package(
        run=run,
        pipeline=run.artifacts["pipeline"],
        signature=signature,
        forms=tuple(forms),
        slices=tuple(slices),
        evaluations=tuple(evaluations),
        checks_green=green,
        card=_card(
            run,
            trainer,
            data,
            signature,
            forms=forms,
            slices=slices,
            evaluations=evaluations,
            now=context.platform.clock(),
        ),
        note=note,
        reference=reference or {},
    )


def _native_form(context: StepContext, run: Run, framework: Framework, model: object) -> Form:
    path = context.scratch / "native"
    context.platform.objects.fetch(context.project, run.artifacts["model"], path)
    return Form("native", run.artifacts["model"], path.stat().st_size, framework.name)


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
    worst = float(np.max(np.abs(converted - native)))
    if not worst <= PARITY:
        return None
    [digest] = context.platform.objects.put_files(context.project, [path])
    return Form("onnx", digest, path.stat().st_size, runtime.name, len(rows), worst)


def _answered(framework: Framework, model: object, rows: Features) -> tuple[Features, NDArray[np.float64]]:
    """Return the rows that the native form answers, with its answers: all, or those without nulls where it takes none."""
    try:
        return rows, framework.predict(model, rows)
    except ValueError:  # what estimators raise for a null that they have no rule for
        whole = rows[~np.isnan(rows).any(axis=1)]
        return whole, framework.predict(model, whole) if len(whole) else np.empty(0)


def outputs_of(test: Part, answers: NDArray[np.float64]) -> tuple[Column, ...]:
    """Return the columns of the answers: a probability, one for each class, or the value of a regression."""
    if answers.ndim > 1:
        return tuple(Column(f"probability_{place}", "Float64") for place in range(answers.shape[1]))
    classifies = bool(np.isin(test.y, (0.0, 1.0)).all())
    return (Column("probability" if classifies else "value", "Float64"),)


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


def _with_latency(context: StepContext, form: Form, transform: Transform, test: Part, inputs: Sequence[str]) -> Form:
    """Return the form with the median time of one row, raw columns in, in microseconds."""
    if not len(test):
        return form
    framework = context.platform.framework(form.framework)
    path = context.scratch / f"{form.name}.loaded"
    context.platform.objects.fetch(context.project, form.digest, path)
    loaded = framework.load(path)
    rows = test.frame.select(inputs).head(LATENCY_ROUNDS).to_dicts()
    took = []
    for row in rows:
        began = time.perf_counter()
        framework.predict(loaded, transform.rows([row]))
        took.append((time.perf_counter() - began) * 1e6)
    return Form(
        form.name,
        form.digest,
        form.size_bytes,
        form.framework,
        form.rows_compared,
        form.max_abs_diff,
        round(statistics.median(took), 1),
    )


def _slices(test: Part, answers: NDArray[np.float64], label: str) -> list[Slice]:
    """Return metrics on each value of the text and boolean columns with few values."""
    if not len(test) or answers.ndim != 1:
        return []
    found = []
    for name, dtype in test.frame.schema.items():
        if name == label or dtype not in (pl.String, pl.Boolean, pl.Categorical):
            continue
        counts = test.frame[name].value_counts().sort(["count", name], descending=[True, False])
        if counts.height > MAX_SLICE_VALUES * 2:
            continue
        for value, rows in counts.head(MAX_SLICE_VALUES).iter_rows():
            if value is None or rows < LEAST_SLICE_ROWS:
                continue
            here = (test.frame[name] == value).fill_null(value=False).to_numpy()
            found.append(Slice(name, str(value), int(rows), measure(test.y[here], answers[here])))
    return found


def _card(
    run: Run,
    trainer: Trainer,
    data: DatasetVersion,
    signature: Signature,
    *,
    forms: Sequence[Form],
    slices: Sequence[Slice],
    evaluations: Sequence[Evaluation],
    now: datetime,
) -> str:
    """Return the model card, in Markdown."""
    lines = [
        f"# {trainer.name}",
        "",
        f"Made by run {run.number} ({run.kind.value}) on {now:%Y-%m-%d %H:%M} UTC from {data.name} v{data.number} "
        f"({data.rows:,} rows), seed {run.recipe.seed}.",
        "",
        "## Parameters",
        "",
        *table(("parameter", "value"), [(name, str(value)) for name, value in sorted(run.recipe.params.items())]),
        "## Metrics on rows it was fitted on: those of its recipe, judged on rows held back, follow"
        if run.kind is RunKind.REFIT
        else "## Metrics on held-out rows",
        "",
        *table(("metric", "value"), _shown(run.metrics)),
    ]
    for one in evaluations:
        beside = f" beside v{one.against}" if one.against is not None else ""
        lines += [f"On {one.rows:,} rows ({one.window}){beside}: {one.metric} {one.value:.4f}", ""]
        if one.against_value is not None:
            lines[-2] += f" against {one.against_value:.4f}"
    lines += ["## Slices", ""]
    metric = trainer.metric
    rows = [(f"{s.column} = {s.value}", f"{s.rows:,}", _number(s.metrics.get(metric))) for s in slices]
    lines += table(("slice", "rows", metric), rows)
    lines += ["## Inputs", "", *table(("column", "type"), [(c.name, c.dtype) for c in signature.inputs])]
    lines += ["## Forms", ""]
    shown = [
        (
            f.name,
            f"{f.size_bytes / 1024:,.0f} KiB",
            f"{f.rows_compared:,}",
            f"{f.max_abs_diff:.1e}",
            f"{f.latency_us or 0:,.0f} µs",
        )
        for f in forms
    ]
    lines += table(("form", "size", "rows compared", "largest difference", "one row"), shown)
    return "\n".join(lines)


def _shown(metrics: Mapping[str, float]) -> list[tuple[str, str]]:
    return [(name, _number(value)) for name, value in sorted(metrics.items())]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table, an empty one last; without rows `none`."""
    if not rows:
        return ["none", ""]
    body = ["| " + " | ".join(cells) + " |" for cells in rows]
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *body, ""]
