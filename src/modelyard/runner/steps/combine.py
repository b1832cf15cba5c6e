"""The job `model.combine`: versions become one by a rule; it is loaded, asked and measured here, and becomes a version."""

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec
import polars as pl

from modelyard.data import DatasetVersion
from modelyard.registry import Combining, Composition, Evaluation, Form, ModelVersion, Signature
from modelyard.registry.combining import Combined, add_combination, keep_composition
from modelyard.registry.composition import compose, roles
from modelyard.registry.parts import leaves_of, members_of
from modelyard.registry.rules import chosen_form, told_parts, trained
from modelyard.registry.service import promote
from modelyard.runner.context import StepContext
from modelyard.runner.steps.comparison import LEAST_ROWS, measure_loaded, was_fitted_on
from modelyard.runner.steps.fitting import dataset_of, rows_of, version_of
from modelyard.runner.steps.made_before import made_before
from modelyard.runner.steps.packaging import LATENCY_ROUNDS, table
from modelyard.serving import ServedForm
from modelyard.serving.infer import LoadedVersion, load_version
from modelyard.serving.service import served_form
from modelyard.training.service import load_trainer

RULES: Mapping[Combining, str] = {
    Combining.MEAN: "It answers with the mean of its members' numbers.",
    Combining.WEIGHTED: "It answers with the mean of its members' numbers, each with its weight.",
    Combining.VOTE: "It answers with the share of its members that vote for a class.",
    Combining.STACK: "The last one answers, from the raw columns and what the others answered.",
    Combining.ROUTE: "The router's number says which member answers a row; no other is asked about it.",
}


@dataclass(frozen=True)
class Parts:
    """What is combined, and what it comes down to."""

    composition: Composition
    signature: Signature
    versions: tuple[ModelVersion, ...]
    served: tuple[ServedForm, ...]
    leaves: tuple[ModelVersion, ...]  # uncombined, the nearest to the answers first


@dataclass(frozen=True)
class Measured:
    """What asking it has shown."""

    latency_us: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    evaluations: tuple[Evaluation, ...] = ()


def combine_versions(context: StepContext) -> Mapping[str, object]:
    """Combine the versions that the payload names, and move the alias if one was asked for."""
    payload = context.job.payload
    platform, actor, project = context.platform, context.actor, context.project
    wish = msgspec.convert(payload["composition"], Composition)
    version = made_before(context, payload["model"], lambda one: one.composition == wish) or _combine(context, wish)
    if payload.get("alias"):
        promote(platform, actor, project, payload["model"], version.number, payload["alias"], cause=f"job:{context.job.id}")
    return {"model": version.model, "version": version.number}


def _combine(context: StepContext, wish: Composition) -> ModelVersion:
    payload, platform, project = context.job.payload, context.platform, context.project
    parts = _gather(context, wish)
    form = keep_composition(platform, project, parts.composition, [chosen_form(one) for one in parts.versions])
    context.progress(0.2, "load the members")
    served = ServedForm(
        version=0, signature=parts.signature, pipeline=None, form=form.name, model=form.digest, framework=form.framework,
        composition=parts.composition, members=parts.served,
    )  # fmt: skip
    loaded = load_version(platform, project, served, context.scratch)
    answering = next((one for one in parts.leaves if one.run is not None), None)
    context.progress(0.5, "ask it, and measure it on rows that no member was fitted on")
    measured = _measured(context, loaded, parts, answering)
    form = replace(form, latency_us=measured.latency_us)
    made = Combined(
        composition=parts.composition,
        signature=parts.signature,
        form=form,
        checks_green=all(leaf.checks_green for leaf in parts.leaves),
        card=_card(context, parts, form, measured),
        metrics=measured.metrics,
        evaluations=measured.evaluations,
        answering=answering,
        note=str(payload.get("note") or ""),
    )
    return add_combination(platform, context.actor, project, payload["model"], made)


def _gather(context: StepContext, wish: Composition) -> Parts:
    with context.platform.transaction() as tx:
        versions = members_of(tx, context.project, wish)
        composition, signature = compose(wish, versions)
        ordered = [versions[-1], *versions[:-1]] if wish.rule is Combining.STACK else versions
        return Parts(
            composition,
            signature,
            tuple(versions),
            tuple(served_form(tx, one) for one in versions),
            tuple(leaf for one in ordered for leaf in leaves_of(tx, one)),
        )


def _measured(context: StepContext, loaded: LoadedVersion, parts: Parts, answering: ModelVersion | None) -> Measured:
    """Return how fast it is and what it is worth on held-out rows; without rows that it knows, only how fast."""
    unasked = Measured(round(loaded.pace_s * 1e6, 1))
    if answering is None:
        return unasked
    training = trained(answering, "be measured")
    trainer = load_trainer(context.platform, context.actor, context.project, training.recipe.trainer)
    data = version_of(context, training.data)
    whole = rows_of(context, data)
    if not {*loaded.columns, trainer.label} <= set(whole.columns):
        return unasked
    rows = _unseen(context, parts, data, whole).drop_nulls(trainer.label)
    if not rows.height:
        return unasked
    latency = _median_us(loaded, rows.head(LATENCY_ROUNDS).select(list(loaded.columns)))
    metrics = measure_loaded(loaded, rows, trainer.label) if rows.height >= LEAST_ROWS else {}
    if trainer.metric not in metrics:
        return Measured(latency, metrics)
    evaluation = Evaluation(
        run=None,
        against=None,
        rows=rows.height,
        window=f"rows of {data.name} v{data.number} that no member was fitted on",
        metric=trainer.metric,
        value=metrics[trainer.metric],
        against_value=None,
        metrics=metrics,
        against_metrics={},
        at=context.platform.clock(),
    )
    return Measured(latency, metrics, (evaluation,))


def _unseen(context: StepContext, parts: Parts, data: DatasetVersion, whole: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of a dataset version that no part was fitted on."""
    dataset = dataset_of(context, data)
    seen = pl.repeat(False, whole.height, dtype=pl.Boolean, eager=True)
    for leaf in {one.run: one for one in parts.leaves}.values():
        seen |= was_fitted_on(context, leaf, data, dataset, whole)
    return whole.filter(~seen)


def _median_us(loaded: LoadedVersion, rows: pl.DataFrame) -> float:
    """Return the median time of one row, in microseconds."""
    took = []
    for row in rows.to_dicts():
        began = time.perf_counter()
        loaded.infer([row])
        took.append((time.perf_counter() - began) * 1e6)
    return round(statistics.median(took), 1)


def _card(context: StepContext, parts: Parts, form: Form, measured: Measured) -> str:
    """Return the card of a combined version, in Markdown."""
    composition, signature = parts.composition, parts.signature
    now = context.platform.clock()
    return "\n".join(
        [
            f"# {told_parts(composition)}",
            "",
            f"Combined on {now:%Y-%m-%d %H:%M} UTC by {context.actor.member}. {RULES[composition.rule]}",
            "",
            *table(("part", "called", "it"), [(one.ref, one.name, told) for one, told in roles(composition)]),
            "## Metrics on rows that no member was fitted on",
            "",
            *table(("metric", "value"), [(name, f"{value:.4f}") for name, value in sorted(measured.metrics.items())]),
            "## Inputs",
            "",
            *table(("input", "type"), [(one.name, one.dtype) for one in signature.inputs]),
            "## Outputs",
            "",
            *table(("output", "type"), [(one.name, one.dtype) for one in signature.outputs]),
            f"Its parts are {form.size_bytes / 1024:,.0f} KiB together. One row takes {form.latency_us or 0:,.0f} µs.",
            "",
        ]
    )
