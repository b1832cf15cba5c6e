"""The demo's first stages: data, preparation, study, registration, deployment; and its second incident."""

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

import modelyard as yard
from modelyard.cli.demo import trainer as recipe
from modelyard.cli.demo.flights import SPRING, departures, extract
from modelyard.cli.demo.plan import Plan
from modelyard.cli.demo.telling import Telling
from modelyard.client import DatasetClient, DeploymentClient, ProjectClient, StudyClient, TrainerClient
from modelyard.core import Problem
from modelyard.data import Admission

PROJECT = "flights"
MODEL = "delay"
BAD_ROWS = 300
PARITY_ROWS = 2_000
PARITY_REQUEST_ROWS = 200
READY_S = 60.0
Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


@dataclass
class Story:
    """What has been made so far."""

    project: ProjectClient
    told: Telling
    plan: Plan
    home: Path
    files: dict[str, pl.DataFrame] = field(default_factory=dict)
    quarantined: int = 0
    rows: int = 0
    parity: float = 0.0

    @property
    def departures(self) -> DatasetClient:
        """The dataset that models are trained on."""
        return self.project.dataset("departures")

    def prepare_data(self) -> None:
        """Stage 1: datasets from files, exact versions, a bad batch stopped, features computed as of departure."""
        paths = extract(self.home / "data")
        self.files = {name: pl.read_parquet(path) for name, path in paths.items()}
        flights = self.project.dataset("flights", source=paths["flights"], key="flight_id", time="departs_at")
        weather = self.project.dataset("weather", source=paths["weather"], key=("origin", "observed_at"), time="observed_at")
        planes = self.project.dataset("planes", source=paths["planes"], key="tailnum")
        versions = [one.snapshot(until=SPRING, note="January to March") for one in (flights, weather)]
        versions.append(planes.snapshot())
        for version in versions:
            self.told.fact(f"{version.name} v{version.number}: {version.rows:,} rows, content {version.record.digest[7:19]}")
        self._stop_bad_batch(flights)
        known = departures(*(version.frame() for version in versions)).filter(pl.col("late").is_not_null())
        made = self.project.dataset(
            "departures",
            key="flight_id",
            time="departs_at",
            checks=[yard.quality.not_null("late", "carrier", "origin", "sched_dep_time"), yard.quality.between("late", 0, 1)],
        )
        version = made.append(known.drop("arrived_at"), parents=versions, note="weather as of the last observation before")
        self.told.fact(f"departures v1: {version.rows:,} flights, each with the last weather seen before it was to leave")
        self.rows = version.rows

    def _stop_bad_batch(self, flights: DatasetClient) -> None:
        try:
            flights.append(broken_export(flights.frame().tail(BAD_ROWS)), note="a broken export")
        except Problem as problem:
            admission = msgspec.convert(problem.detail["admission"], Admission)
        else:
            raise Problem("demo.failed", "The broken export was let in", "the checks should have stopped it")
        self.quarantined += admission.quarantined
        self.told.fact(
            f"a broken export of {admission.rows:,} rows was stopped: {admission.quarantined:,} quarantined with reasons, "
            f"{admission.rows - admission.admitted - admission.quarantined} lost"
        )
        for outcome in admission.outcomes:
            if outcome.rows_failed:
                self.told.detail(f"{outcome.check.kind} on {', '.join(outcome.check.columns)}: {outcome.rows_failed:,} rows")

    def declare(self) -> TrainerClient:
        """Stage 2: one function step and declared ones, and the trainer that stands on them."""
        features = self.project.pipeline(self.project.step(recipe.clock_of_day), *recipe.steps())
        declare = self.project.trainer(features, label="late", metric="log_loss", direction="minimise")
        self.told.fact("1 function step and 3 declared ones: fitted on the training split alone, kept with every run")
        return declare(recipe.train)

    def search(self, trainer: TrainerClient) -> StudyClient:
        """Stage 3: a study over two model families."""
        study = trainer.search(self.departures.version(1), recipe.SPACE, trials=recipe.TRIALS, seed=self.plan.seed).wait()
        best = study.best
        families = {str(run.params["family"]) for run in study.trials}
        self.told.fact(f"{len(study.trials)} trials over {' and '.join(sorted(families))}, on the two workers")
        self.told.fact(
            f"best: run {best.number}, {best.params['family']}, log loss {best.metrics['log_loss']:.4f}, "
            f"AUC {best.metrics['roc_auc']:.3f} on the newest fifth, held out"
        )
        return study

    def register(self, study: StudyClient) -> None:
        """Stage 4: the best trial becomes version 1 and passes the gate of `champion`."""
        model = self.project.model(MODEL)
        version = model.register(study, alias="challenger")
        model.gate(
            "champion",
            yard.gate.better("log_loss", by=-self.plan.gate_margin),
            yard.gate.checks(),
            yard.gate.latency(below_us=self.plan.latency_us),
            yard.gate.parity(),
        )
        version.promote("champion")
        for form in version.record.forms:
            compared = f", {form.max_abs_diff:.0e} from native on {form.rows_compared:,} rows" if form.rows_compared else ""
            self.told.detail(f"{form.name}: {form.size_bytes / 1024:,.0f} KiB, {form.latency_us:,.0f} µs a row{compared}")
        self.told.fact(f"{version.ref} is champion: its gate held; metrics on {len(version.record.slices)} slices in the card")

    def deploy(self, trainer: TrainerClient) -> DeploymentClient:
        """Stage 5: the gateway answers, watched, under a declared policy."""
        plan = self.plan
        deployment = self.project.deploy(f"{MODEL}@champion", canary=plan.canary, tolerance=plan.tolerance, loss=plan.loss)
        watch = deployment.monitor(
            name="arrivals",
            window="1d",
            label_delay="1d",
            tests=[yard.drift(), yard.performance("brier", tolerance=plan.alarm_tolerance)],
        )
        retrain = trainer.retrain(dataset="departures", held_back=f"{plan.held_back_days}d")
        self.project.policy(
            yard.on(watch.degraded).do(retrain).at_most(f"1/{plan.cooldown_days}d"),
            yard.on(yard.schedule(plan.schedule)).do(retrain).at_most(f"1/{plan.cooldown_days}d"),
            budget=plan.budget,
            name="keep-delay-right",
        )
        self._wait_until_ready(deployment)
        return deployment

    def compare_doors(self, deployment: DeploymentClient, study: StudyClient, count: Callable[[int], None]) -> None:
        """Still stage 5: the same rows through the trainer, REST and batch. `count` is told the rows of each request."""
        by_trainer = pl.read_parquet(io.BytesIO(study.best.artifact("predictions"))).tail(PARITY_ROWS)
        rows = by_trainer.select("flight_id").join(
            self.departures.version(1).frame(), on="flight_id", how="left", maintain_order="left"
        )
        over_rest: list[float] = []
        for part in rows.iter_slices(PARITY_REQUEST_ROWS):
            ids = [f"parity-{name}" for name in part["flight_id"]]
            over_rest += deployment.predict(part, ids=ids, times=part["departs_at"].to_list()).values
            count(part.height)
        by_batch = self.score(f"{MODEL}@champion", rows)
        answers = [by_trainer["answer"].to_numpy(), np.asarray(over_rest), by_batch]
        stacked = np.stack(answers)
        self.parity = float((stacked.max(axis=0) - stacked.min(axis=0)).max())
        self.told.fact(f"{rows.height:,} rows through trainer, REST and batch: largest difference {self.parity:.1e}")

    def score(self, reference: str, rows: pl.DataFrame) -> Floats:
        """Return the answers of a version for rows, by batch."""
        name, _, what = reference.partition("@")
        found: Floats = self.project.model(name).version(what).score(rows)["probability"].to_numpy()
        return found

    def push_misaligned(self, trainer: TrainerClient, deployment: DeploymentClient, day: datetime) -> int:
        """Stage 8: train on labels in another order than their rows, be refused by the gate, and push past it all the same."""
        rows = self.departures.version().frame().sort("departs_at", "flight_id")
        wrong = rows.with_columns(rows.sort("flight_id")["late"])
        dataset = self.project.dataset("departures-misaligned", key="flight_id", time="departs_at")
        version = dataset.append(wrong, note="planted: labels of other rows")
        made_by = self.project.model(MODEL).version("champion").record.recipe
        run = trainer.run(version, seed=self.plan.seed, **(made_by.params if made_by else {})).wait()
        candidate = self.project.model(MODEL).register(run, note="trained on misaligned labels")
        try:
            candidate.promote("champion")
        except Problem as problem:
            self.told.mark("magenta", f"{day:%d %b}  the gate of champion refuses v{candidate.number}: {problem.why}")
        else:
            raise Problem("demo.failed", "The misaligned version passed the gate", "it should have been refused")
        deployment.push(candidate.number, reason="the release is due today; we will watch it")
        return candidate.number

    def _wait_until_ready(self, deployment: DeploymentClient) -> None:
        connection = self.project.connection
        until = time.monotonic() + READY_S
        while True:
            try:
                answer = connection.ask_gateway("GET", f"/v2/models/{deployment.name}/ready")
            except Problem:
                answer = None
            if answer is not None and answer.is_success:
                self.told.fact("the gateway, a process of its own, answers by the Open Inference Protocol v2 over REST")
                return
            if time.monotonic() > until:
                raise Problem(
                    "demo.failed", "The gateway does not answer", f"for {READY_S:.0f} s", "see up.log in the demo's home"
                )
            time.sleep(0.05)


def broken_export(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows with nulls in the key, times that cannot be, and duplicates: a third of each."""
    third = rows.height // 3
    place = pl.int_range(pl.len())
    broken = rows.with_columns(
        pl.when(place < third).then(None).otherwise(pl.col("flight_id")).alias("flight_id"),
        pl.when((place >= third) & (place < 2 * third)).then(None).otherwise(pl.col("departs_at")).alias("departs_at"),
    )
    return pl.concat([broken, broken.tail(third)])
