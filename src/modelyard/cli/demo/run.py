"""`yard demo`: the stages in order, the figures, the report."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec
import polars as pl
from rich.console import Console

from modelyard.cli.demo.figures import DecisionFigure, Figures, mixed_answers, weekly_loss
from modelyard.cli.demo.flights import FAULT_FROM, SPRING, departures
from modelyard.cli.demo.memory import Peak, watched_memory
from modelyard.cli.demo.plan import Plan
from modelyard.cli.demo.report import write_report
from modelyard.cli.demo.story import MODEL, PROJECT, Story
from modelyard.cli.demo.telling import Telling
from modelyard.cli.demo.world import Answers, Arrivals, Counts, Passengers
from modelyard.cli.demo.year import Incident, Replay
from modelyard.client import DeploymentClient, TrainerClient
from modelyard.client.connection import connect
from modelyard.client.projects import open_project
from modelyard.core import FileClock, Problem, from_text
from modelyard.embedded.family import Addresses, running
from modelyard.embedded.family import Plan as FamilyPlan
from modelyard.monitoring import Alert
from modelyard.reactions import ActionKind, Decision
from modelyard.training import StudyState

WORKERS = 2
LABELLED = pl.col("label").is_not_null()


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    home: Path
    port: int = 0
    gateway_port: int = 0
    host: str = "127.0.0.1"
    leave: bool = False  # end when the report is written
    figures: Path | None = None


@dataclass(frozen=True)
class Live:
    """What the replay left."""

    counts: Counts
    answers: Answers
    ledger: pl.DataFrame  # the platform's own records, with labels
    pushed: int | None


def run_demo(options: Options, console: Console, stop: threading.Event) -> Figures:
    """Run the whole story; with `leave` unset the platform stays up until `stop` is set.

    Raises
    ------
    Problem
        `home.conflict` when something lives in the home already; `demo.unavailable`, `demo.failed`.
    """
    if options.home.exists() and any(options.home.iterdir()):
        raise Problem(
            "home.conflict", f"{options.home} is not empty", "the demo begins from nothing", "remove it, or name another --home"
        )
    began = time.monotonic()
    told = Telling(console)
    plan = Plan()
    with watched_memory() as peak, platform_at(options, told) as (addresses, clock):
        told.detail(f"console {addresses.url}   token {addresses.token}")
        connection = connect(addresses.url, addresses.token)
        story = Story(open_project(connection, PROJECT), told, plan, options.home)
        deployment, trainer, counts = first_half(story)
        told.stage(6, "live", "April to December as HTTP traffic; arrivals come back late, twice, out of order")
        live = asyncio.run(replay(story, deployment, trainer, counts, addresses, clock))
        told.stage(9, "report", "what the loop was worth")
        labelled = beside_the_first(story, live.ledger)
        figures = figures_of(story, deployment, live, labelled, addresses=addresses, peak=peak, began=began)
        tell_figures(told, figures)
        path = write_report(
            options.home / "report.html",
            figures=figures,
            ledger=live.ledger,
            labelled=labelled,
            stages=told.said,
            alerts=list(story.project.alerts()),
            decisions=[one.record for one in story.project.decisions()],
        )
        told.fact(f"the whole story in one file: {path}")
        if options.figures is not None:
            options.figures.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1) + b"\n")
            told.fact(f"figures: {options.figures}")
        if not options.leave:
            told.fact(f"the console stays up at {addresses.url} (token {addresses.token}); Ctrl-C ends it")
            stop.wait()
        connection.close()
    return figures


@contextmanager
def platform_at(options: Options, told: Telling) -> Iterator[tuple[Addresses, FileClock]]:
    """Start the platform on a clock that the demo moves."""
    options.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    clock = FileClock(options.home / "clock")
    clock.set(SPRING)
    os.environ["MODELYARD_CLOCK"] = (options.home / "clock").as_uri()
    plan = FamilyPlan(options.home, options.host, options.port, options.gateway_port, WORKERS)
    with running(plan, told.detail) as addresses:
        yield addresses, clock


def first_half(story: Story) -> tuple[DeploymentClient, TrainerClient, Counts]:
    """Stages 1 to 5."""
    told, counts = story.told, Counts()
    told.stage(1, "data", "the flights out of New York in 2013, from their files")
    story.prepare_data()
    told.stage(2, "prepare", "what turns a raw row into features, in every door")
    trainer = story.declare()
    told.stage(3, "train", "a study of two families on two workers")
    study = story.search(trainer)
    told.stage(4, "register", "from a run to a version behind a gate")
    story.register(study)
    told.stage(5, "serve", "one answer, whichever door is asked")
    deployment = story.deploy(trainer)

    def count(rows: int) -> None:
        counts.requests += 1
        counts.rows_answered += rows

    story.compare_doors(deployment, study, count)
    return deployment, trainer, counts


async def replay(
    story: Story, deployment: DeploymentClient, trainer: TrainerClient, counts: Counts, addresses: Addresses, clock: FileClock
) -> Live:
    """Stages 6 to 8."""
    feed = departures(story.files["flights"], story.files["weather"], story.files["planes"], faulty=True)
    feed = feed.filter(pl.col("departs_at") >= SPRING)
    version = story.project.model(MODEL).version("champion")
    inputs = [column.name for column in version.record.signature.inputs]
    answers = Answers()
    token = addresses.token or ""
    passengers = Passengers(addresses.gateway or "", token, MODEL, inputs, counts, answers)
    incident = Incident(from_text(story.plan.push_from), lambda day: story.push_misaligned(trainer, deployment, day))
    async with httpx.AsyncClient(base_url=addresses.url, headers={"Authorization": f"Bearer {token}"}, timeout=60.0) as control:
        year = Replay(
            clock,
            story.project.name,
            deployment.name,
            passengers,
            Arrivals(story.plan.seed),
            counts,
            answers,
            story.told,
            story.plan,
            incident,
            control,
        )
        days = feed.select((pl.col("departs_at").max() - SPRING).dt.total_days()).item() + 1
        with story.told.bar(days, "April") as bar:
            await year.run(feed, SPRING, bar)
        await passengers.close()
    story.rows += feed.height
    story.told.fact(
        f"{feed.height:,} flights asked about in time order, {counts.labels_sent:,} arrivals sent back, {counts.probes:,} rows "
        "asked again while the loop was at work"
    )
    return Live(counts, answers, deployment.predictions(), incident.version)


def beside_the_first(story: Story, ledger: pl.DataFrame) -> pl.DataFrame:
    """Return the labelled rows with `without`: what the first version, left alone, answers for them."""
    labelled = ledger.filter(LABELLED)
    return labelled.with_columns(without=story.score(f"{MODEL}@1", raw_rows(labelled)))


def figures_of(
    story: Story,
    deployment: DeploymentClient,
    live: Live,
    labelled: pl.DataFrame,
    *,
    addresses: Addresses,
    peak: Peak,
    began: float,
) -> Figures:
    """Count everything from the platform's records and what the traffic generator saw."""
    project, counts, ledger = story.project, live.counts, live.ledger
    again = answers_again(story, ledger)
    decisions = sorted(project.decisions(), key=lambda one: one.record.id)
    alerts = sorted(project.alerts(), key=lambda alert: alert.id)
    champions = [revision.routes[0].version for revision in reversed(list(deployment.revisions())) if len(revision.routes) == 1]
    actions = [one.record.action for one in decisions]
    causes = told_causes(alerts, [one.record for one in decisions])
    return Figures(
        seconds=round(time.monotonic() - began, 1),
        rows=story.rows,
        dataset_versions=sum(len(list(dataset.versions())) for dataset in project.datasets()),
        quarantined=sum(dataset.quarantined().height for dataset in project.datasets()),
        trials=finished_trials(story),
        champion_versions=[v for place, v in enumerate(champions) if place == 0 or champions[place - 1] != v],
        requests=counts.requests,
        rows_answered=counts.rows_answered,
        failed_requests=counts.failed_requests,
        mixed_answers=mixed_answers(ledger, live.answers.frame(), again),
        parity_max_abs_diff=story.parity,
        ledger_rows=ledger.height,
        labels_sent=counts.labels_sent,
        labels_joined=labelled.height,
        alerts=[
            {"kind": one.kind.value, "subject": one.subject, "at": one.at.isoformat(), "version": one.version, "id": one.id}
            for one in alerts
        ],
        decisions=[
            DecisionFigure(
                one.record.action.value,
                causes.get(one.record.cause, one.record.cause),
                one.record.version,
                one.record.at.isoformat(),
                one.record.undone_at is not None,
            )
            for one in decisions
        ],
        retrains=actions.count(ActionKind.RETRAIN),
        rollbacks=actions.count(ActionKind.ROLL_BACK),
        loss_with_loop=weekly_loss(labelled, "answer", SPRING),
        loss_without=weekly_loss(labelled, "without", SPRING),
        peak_memory_mb=round(peak.mb, 1),
        console=addresses.url,
        gateway=addresses.gateway or "",
        grpc=addresses.grpc,
        token=addresses.token or "",
    )


def answers_again(story: Story, ledger: pl.DataFrame) -> pl.DataFrame:
    """Return for every prediction what the version that the ledger names answers by batch."""
    found = []
    for (version,), rows in ledger.group_by("version"):
        found.append(rows.select("id").with_columns(again=story.score(f"{MODEL}@{version}", raw_rows(rows))))
    return pl.concat(found)


def raw_rows(ledger: pl.DataFrame) -> pl.DataFrame:
    """Return the raw columns that the ledger kept."""
    prefix = "input."
    return ledger.select(pl.col(name).alias(name.removeprefix(prefix)) for name in ledger.columns if name.startswith(prefix))


def told_causes(alerts: Sequence[Alert], decisions: Sequence[Decision]) -> dict[str, str]:
    """Return for each cause that is an id what it stands for, so that two runs can be held beside each other."""
    told: dict[str, str] = {}
    for alert in alerts:
        told[alert.id] = f"{alert.kind.value}:{alert.monitor_name}/{alert.subject}@{alert.at:%Y-%m-%d}"
    for decision in decisions:
        if decision.action is ActionKind.BREAK_GLASS:
            told[decision.id] = told[decision.cause] = f"break_glass:v{decision.version}@{decision.at:%Y-%m-%d}"
    return told


def finished_trials(story: Story) -> int:
    """Return how many trials ended well."""
    runs = story.project.runs()
    return sum(run.record.trial is not None and run.state.value == StudyState.FINISHED.value for run in runs)


def tell_figures(told: Telling, figures: Figures) -> None:
    """Say what it came to."""
    gain = figures.loss_without - figures.loss_with_loop
    told.fact(
        f"weekly log loss of the year: {figures.loss_with_loop:.4f} with the loop, {figures.loss_without:.4f} with the first "
        f"model left alone ({gain:+.4f})"
    )
    told.fact(
        f"{figures.requests:,} requests, {figures.rows_answered:,} rows answered, {figures.failed_requests} failed, "
        f"{figures.mixed_answers} mixed; ledger {figures.ledger_rows:,} rows"
    )
    told.fact(
        f"{figures.retrains} retrainings, {figures.rollbacks} roll-backs, champions {figures.champion_versions}; fault since "
        f"{FAULT_FROM:%d %B}"
    )
    told.fact(f"{figures.labels_sent:,} labels sent, {figures.labels_joined:,} predictions labelled")
    told.fact(f"{figures.seconds:.0f} s, {figures.peak_memory_mb:,.0f} MB at most for all processes together")
