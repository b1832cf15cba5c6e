"""From a trained run to a version's package: forms held against the native one, latency, slices, card."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.data import Column, Dataset, DatasetVersion, reading
from modelyard.data.admission import is_sound
from modelyard.data.features import Features, Lookup
from modelyard.data.features.service import ensure
from modelyard.prepare import FittedPipeline, Transform
from modelyard.prepare.values import input_dtype
from modelyard.registry import Evaluation, Form, Signature, Slice
from modelyard.registry.service import Package
from modelyard.runner.context import StepContext
from modelyard.runner.steps.fitting import Part, dataset_of
from modelyard.runner.steps.forms import compact_form, onnx_form
from modelyard.training import Framework, Run, RunKind, Trainer
from modelyard.training.metrics import measure

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
        context.progress(0.9, "make it smaller and compare")
        compacted = compact_form(context, framework, model, converted, test.X, classifies=_classifies(test))
        forms += [compacted] if compacted is not None else []
    transform = Transform(fitted)
    forms = [_with_latency(context, form, transform, test, [c.name for c in fitted.inputs]) for form in forms]
    answers = framework.predict(model, test.X) if len(test) else np.empty(0)
    slices = _slices(test, answers, trainer.label)
    platform = context.platform
    held = reading.read(platform, context.project, data)
    green = is_sound(held, dataset_of(context, data), platform.clock())
    features = features_of(trainer, fitted, dataset_of(context, data))
    if features is not None:  # before anybody can serve the version
        ensure(context.platform, context.project, [lookup.dataset for lookup in features.lookups])
    signature = Signature(_asked(fitted, features, test), outputs_of(test, answers))
    return Package(
        run=run,
        pipeline=run.artifacts["pipeline"],
        signature=signature,
        features=features,
        forms=tuple(forms),
        slices=tuple(slices),
        evaluations=tuple(evaluations),
        checks_green=green,
        card=_card(
            run,
            trainer,
            data,
            signature,
            features,
            forms=forms,
            slices=slices,
            evaluations=evaluations,
            now=context.platform.clock(),
        ),
        note=note,
        reference=reference or {},
    )


def features_of(trainer: Trainer, fitted: FittedPipeline, dataset: Dataset) -> Features | None:
    """Return what a version looks up: of what its trainer does, the columns that its pipeline takes notice of."""
    taken = {column.name: Column(column.name, column.dtype) for column in fitted.inputs}
    lookups = []
    for lookup in trainer.lookups:
        places = [place for place, name in enumerate(lookup.names) if name in taken]
        columns = tuple(lookup.columns[place] for place in places)
        defaults = tuple(lookup.defaults[place] for place in places) if lookup.defaults else ()
        lookups += [replace(lookup, columns=columns, defaults=defaults)] if columns else []
    names = [name for lookup in lookups for name in lookup.names]
    return Features(tuple(lookups), tuple(taken[name] for name in names), dataset.time or "") if lookups else None


def _asked(fitted: FittedPipeline, features: Features | None, test: Part) -> tuple[Column, ...]:
    """Return the inputs of the signature: what the pipeline takes, less what is looked up, and what that is looked up by."""
    looked_up = {column.name for column in features.columns} if features else set()
    asked = {column.name: column.dtype for column in fitted.inputs if column.name not in looked_up}
    for lookup in features.lookups if features else ():
        asked |= {name: input_dtype(test.frame.schema[name]) or "" for name in lookup.by if name not in asked}
    return tuple(Column(name, dtype) for name, dtype in asked.items())


def _native_form(context: StepContext, run: Run, framework: Framework, model: object) -> Form:
    path = context.scratch / "native"
    context.platform.objects.fetch(context.project, run.artifacts["model"], path)
    return Form("native", run.artifacts["model"], path.stat().st_size, framework.name)


def outputs_of(test: Part, answers: NDArray[np.float64]) -> tuple[Column, ...]:
    """Return the columns of the answers: a probability, one for each class, or the value of a regression."""
    if answers.ndim > 1:
        return tuple(Column(f"probability_{place}", "Float64") for place in range(answers.shape[1]))
    return (Column("probability" if _classifies(test) else "value", "Float64"),)


def _classifies(test: Part) -> bool:
    """Return whether what is to be predicted is one of two classes."""
    return bool(np.isin(test.y, (0.0, 1.0)).all())


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
    return replace(form, latency_us=round(statistics.median(took), 1))


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
    features: Features | None,
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
    if features is not None:
        looked_up = [(", ".join(one.names), one.dataset, ", ".join(one.by), _age(one)) for one in features.lookups]
        lines += ["## Looked up", "", *table(("columns", "in", "by", "not older than"), looked_up)]
    lines += ["## Forms", ""]
    shown = [
        (
            f.name,
            f"{f.size_bytes / 1024:,.0f} KiB",
            f"{f.rows_compared:,}",
            f"{f.max_abs_diff:.1e}",
            f"{f.tolerance:.1g}" if f.tolerance else "-",
            f"{f.latency_us or 0:,.0f} µs",
        )
        for f in forms
    ]
    lines += table(("form", "size", "rows compared", "largest difference", "held to", "one row"), shown)
    lines += [
        f"{f.name} is only nearly the native form: it answers where a deployment names it (`--form {f.name}`)."
        for f in forms
        if f.approximate
    ]
    return "\n".join(lines)


def _age(lookup: Lookup) -> str:
    return "any age" if lookup.max_age_s is None else str(timedelta(seconds=lookup.max_age_s))


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
