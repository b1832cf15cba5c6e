"""The demo, stage by stage: one model, once round the whole loop, through a real year."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import modelyard as yard
from modelyard.cli.demo import trainer as recipe
from modelyard.cli.demo.flights import FAULT_FROM, SPRING, departures, extract
from modelyard.cli.demo.plan import Plan
from modelyard.cli.demo.server import Platform
from modelyard.cli.demo.telling import Telling
from modelyard.cli.demo.world import Answers, Arrivals, Counts, Passengers, days_of
from modelyard.core import Problem
from modelyard.data import quality
from modelyard.reactions import ActionKind

PROJECT = "flights"
MODEL = "delay"
BAD_ROWS = 400
PARITY_ROWS = 2000
SETTLE_S = 180.0


@dataclass
class Chapter:
    """What the story has made so far: handles and counts that later stages and the report use."""

    project: Any = None
    pipeline: Any = None
    trainer: Any = None
    departures: Any = None
    first_data: Any = None
    study: Any = None
    deployment: Any = None
    year: pl.DataFrame = field(default_factory=pl.DataFrame)  # April to December as the feed tells it
    parity: dict[str, Any] = field(default_factory=dict)
    quarantined: int = 0
    dataset_versions: int = 0
    rows: int = 0
    counts: Counts = field(default_factory=Counts)
    answers: Answers = field(default_factory=Answers)
    pushed_version: int | None = None


def prepare_data(told: Telling, project: Any, home: Path, chapter: Chapter, plan: Plan) -> None:
    """Stage 1: datasets from files, exact versions, a bad batch stopped, features computed as of departure."""
    paths = extract(home / "data")
    flights = project.dataset("flights", source=paths["flights"].as_uri(), key="flight_id", time="departs_at")
    weather = project.dataset("weather", source=paths["weather"].as_uri(), key=("origin", "observed_at"), time="observed_at")
    planes = project.dataset("planes", source=paths["planes"].as_uri(), key="tailnum")
    versions = [one.snapshot(until=SPRING) for one in (flights, weather)] + [planes.snapshot()]
    for version in versions:
        told.fact(f"{version.name} v{version.number}: {version.rows:,} rows, {version.digest[:15]}…")
    bad = _bad_batch(flights.frame().tail(BAD_ROWS))
    admission = flights.append(bad, note="a broken export")
    chapter.quarantined = admission.quarantined
    told.fact(f"a broken export of {admission.rows} rows was stopped: {admission.quarantined} quarantined, 0 admitted, 0 lost")
    for outcome in admission.outcomes:
        if outcome.rows_failed:
            told.detail(f"{outcome.check.kind} on {', '.join(outcome.check.columns)}: {outcome.rows_failed} rows")
    sets = [flights.frame(), weather.frame(), planes.frame()]
    known = departures(*sets).filter(pl.col("late").is_not_null()).drop("arrived_at")
    chapter.departures = project.dataset(
        "departures",
        key="flight_id",
        time="departs_at",
        checks=[quality.not_null("late", "carrier", "origin"), quality.one_of("origin", ["EWR", "JFK", "LGA"])],
    )
    admission = chapter.departures.append(known, parents=versions, note="weather as of the last observation before departure")
    chapter.first_data = admission.version
    told.fact(f"departures v1: {known.height:,} flights of January to March, weather joined as of before departure")
    chapter.rows = known.height


def _bad_batch(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows with nulls in the key, impossible times and duplicates."""
    third = rows.height // 3
    place = pl.int_range(pl.len())
    broken = rows.with_columns(
        pl.when(place < third).then(None).otherwise(pl.col("flight_id")).alias("flight_id"),
        pl.when((place >= third) & (place < 2 * third)).then(None).otherwise(pl.col("departs_at")).alias("departs_at"),
    )
    return pl.concat([broken, broken.tail(third)])


def declare_recipe(told: Telling, project: Any, chapter: Chapter) -> None:
    """Stage 2: declared steps and one function step, and the trainer that stands on them."""
    step = project.step(recipe.clock_of_day)
    chapter.pipeline = project.pipeline(step, *recipe.steps())
    chapter.trainer = project.trainer(
        chapter.pipeline, label="late", metric="log_loss", direction="minimise", drop=("flight_id", "departs_at")
    )(recipe.train)
    told.fact("1 function step and 5 declared steps; fitted on the training split only, kept with each run")


def search(told: Telling, chapter: Chapter, plan: Plan) -> None:
    """Stage 3: a study over two model families on two workers."""
    chapter.study = chapter.trainer.search(chapter.first_data, recipe.SPACE, trials=recipe.TRIALS, seed=plan.seed)
    chapter.study.wait()
    best = chapter.study.best
    told.fact(
        f"{len(chapter.study.trials)} trials; best is run {best.number} ({best.params['family']}): "
        f"log loss {best.metrics['log_loss']:.4f}, AUC {best.metrics['roc_auc']:.3f} on held-out flights"
    )


def register(told: Telling, project: Any, chapter: Chapter, plan: Plan) -> None:
    """Stage 4: the best trial becomes version 1, and passes the gate of `champion`."""
    model = project.model(MODEL)
    model.gate(
        "champion",
        yard.gate.better("log_loss", by=-plan.gate_margin),
        yard.gate.checks(),
        yard.gate.latency(below_us=plan.latency_us),
        yard.gate.parity(),
    )
    version = model.register(chapter.study.best, alias="challenger")
    version.promote("champion")
    for form in version.forms:
        told.detail(
            f"{form.name}: {form.size_bytes / 1024:,.0f} KiB, {form.latency_us:,.0f} µs a row, differs by {form.max_abs_diff:.0e}"
        )
    told.fact(f"{MODEL} v{version.number} is champion: the gate held, {len(version.slices)} slices measured")


def deploy(told: Telling, project: Any, chapter: Chapter, plan: Plan, platform: Platform) -> None:
    """Stage 5: the gateway answers; the same rows through trainer, REST and batch give equal numbers."""
    chapter.deployment = project.deploy(
        f"{MODEL}@champion", canary=list(plan.canary), tolerance=plan.tolerance, loss="log_loss"
    )
    watch = chapter.deployment.monitor(
        name="arrivals",
        window="1d",
        label_delay="1d",
        tests=[yard.drift(), yard.performance("brier", tolerance=plan.alarm_tolerance)],
    )
    retrain = chapter.trainer.retrain(dataset="departures", held_back=f"{plan.held_back_days}d")
    project.policy(
        "keep-delay-right",
        yard.on(watch.degraded).do(retrain).cooldown(f"{plan.cooldown_days}d"),
        yard.on(yard.schedule(plan.schedule)).do(retrain).cooldown(f"{plan.cooldown_days}d"),
        budget=plan.budget,
    )
    rows = chapter.departures.frame().tail(PARITY_ROWS)
    wait_for_gateway(platform, chapter)
    over_rest, by_batch, by_trainer = answers_of(chapter, rows, platform)
    chapter.parity = {"rest": over_rest, "batch": by_batch, "trainer": by_trainer}


def wait_for_gateway(platform: Platform, chapter: Chapter) -> None:
    """Wait until the gateway answers for the deployment."""
    raise NotImplementedError


def answers_of(chapter: Chapter, rows: pl.DataFrame, platform: Platform) -> tuple[Any, Any, Any]:
    """Return the answers of REST, batch and trainer for the same rows."""
    raise NotImplementedError
