"""The report of the demo: the story as one HTML file, drawn by the console's own pictures."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from modelyard.cli.demo.figures import Figures
from modelyard.cli.demo.flights import FAULT_FROM, SPRING
from modelyard.console.report import Answered, Headline, SlotLoss, Stage, Story, render_report
from modelyard.monitoring import Alert
from modelyard.reactions import Decision
from modelyard.training.metrics import log_losses

WEEK = timedelta(days=7)
NORMAL_95 = 1.96


def write_report(
    path: Path,
    *,
    figures: Figures,
    ledger: pl.DataFrame,
    labelled: pl.DataFrame,
    stages: Sequence[tuple[str, Sequence[str]]],
    alerts: Sequence[Alert],
    decisions: Sequence[Decision],
) -> Path:
    """Write the report and return its path. `labelled` has `time`, `label`, `answer` and `without`: of the first model."""
    live = figures.champion_versions[-1] if figures.champion_versions else None
    story = Story(
        title="A year of flights, kept right",
        subtitle="One model, round the whole loop, April to December 2013: a broken feed, a bad release, and what was done.",
        headlines=_headlines(figures),
        stages=tuple(Stage(name, tuple(facts)) for name, facts in stages),
        since=SPRING,
        until=ledger["time"].max(),  # type: ignore[arg-type] # the column is of datetimes
        traffic=_traffic(ledger.filter(pl.col("time") >= SPRING)),
        losses=_losses(labelled),
        loss_name="log loss",
        alerts=tuple(alerts),
        decisions=tuple(decisions),
        slot=WEEK,
        notes=((datetime(FAULT_FROM.year, FAULT_FROM.month, FAULT_FROM.day, 4, tzinfo=UTC), "UTC fault", FAULT),),
        live=live,
    )
    path.write_text(render_report(story), encoding="utf-8")
    return path


FAULT = "Planted: from here on the feed sends scheduled times in UTC instead of local time."


def _headlines(figures: Figures) -> tuple[Headline, ...]:
    gain = figures.loss_without - figures.loss_with_loop
    return (
        Headline(
            f"{gain:.4f}", "log loss saved", f"{figures.loss_with_loop:.4f} with the loop, {figures.loss_without:.4f} without"
        ),
        Headline(
            f"{figures.rows_answered:,}", "rows answered", f"{figures.failed_requests} failed, {figures.mixed_answers} mixed"
        ),
        Headline(str(figures.retrains), "retrainings", f"{figures.rollbacks} roll-backs, nobody woken"),
        Headline(f"{figures.parity_max_abs_diff:.0e}", "between doors", "largest difference: trainer, REST, batch"),
        Headline(f"{figures.labels_joined:,}", "labels joined", f"{figures.labels_sent:,} sent: late, twice, out of order"),
    )


def _slot() -> pl.Expr:
    return ((pl.col("time") - SPRING).dt.total_seconds() // int(WEEK.total_seconds())).alias("slot")


def _traffic(ledger: pl.DataFrame) -> tuple[Answered, ...]:
    canary = (pl.col("route") == "canary").alias("canary")
    counted = ledger.group_by(_slot(), "version", canary).len("rows").sort("slot", "version", "canary")
    return tuple(Answered(_at(row["slot"]), row["version"], row["canary"], row["rows"]) for row in counted.to_dicts())


def _losses(labelled: pl.DataFrame) -> tuple[SlotLoss, ...]:
    labels = labelled["label"].cast(pl.Float64).to_numpy()
    both = {name: log_losses(labels, labelled[name].cast(pl.Float64).to_numpy()) for name in ("answer", "without")}
    frame = labelled.select(_slot(), **{name: pl.Series(values) for name, values in both.items()})
    spread = pl.col("answer").std().fill_null(0.0)
    weekly = frame.group_by("slot").agg(
        pl.len().alias("rows"), spread.alias("spread"), pl.col("answer").mean(), pl.col("without").mean()
    )
    return tuple(
        SlotLoss(_at(row["slot"]), row["answer"], row["without"], row["rows"], _half_width(row))
        for row in weekly.sort("slot").to_dicts()
    )


def _half_width(row: dict[str, Any]) -> float:
    return float(NORMAL_95 * row["spread"] / np.sqrt(row["rows"]))


def _at(slot: int) -> datetime:
    return SPRING + slot * WEEK
