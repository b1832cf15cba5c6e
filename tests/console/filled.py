"""A platform on a folder, filled through the real services: nine months of a model's life, with a fault and a bad version.

Only the models are not real: their answers are drawn from the truth with a skill of their own. Everything that the console
reads (ledger, labels, windows, alerts, decisions, jobs) was written by the slices themselves.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from modelyard.core import Digest, IdMaker, ManualClock, Problem, ProjectId, to_text
from modelyard.data import Column, DatasetVersion, Parent, quality
from modelyard.data.intake import take_in
from modelyard.data.service import append, create_dataset
from modelyard.data.sources import Undecoded
from modelyard.data.writing import Move, Origin
from modelyard.jobs import Progress
from modelyard.jobs.lease import fail, finish, keep, log, take
from modelyard.jobs.service import save_schedule, submit
from modelyard.monitoring import Label, MonitorTest
from modelyard.monitoring.labels import add_labels
from modelyard.monitoring.service import create_monitor
from modelyard.prepare import Code, Pipeline, fit, prep
from modelyard.reactions import ActionKind, Retraining, Rule, TriggerKind
from modelyard.reactions.service import apply_policy, push, turn
from modelyard.registry import Condition, ConditionKind, Evaluation, Form, Gate, ModelVersion, Signature, Slice
from modelyard.registry.service import Package, find_aliases, promote, register, set_gate
from modelyard.serving.ledger import META, failure_rows, failure_table, ledger_table, shadow_table
from modelyard.serving.rules import choose
from modelyard.serving.service import deploy, latest_revision
from modelyard.tenancy import Actor, Project, Role
from modelyard.tenancy.service import bootstrap, create_member, create_project
from modelyard.training import (
    Choice,
    Direction,
    Float,
    Int,
    MetricPoint,
    Recipe,
    Run,
    RunKind,
    RunState,
    Space,
    Trainer,
)
from modelyard.training.documents import environment, to_bytes
from modelyard.training.examination import Control, Examination, SliceHarm
from modelyard.training.examining import keep_examination
from modelyard.training.service import (
    NewRun,
    Outputs,
    advance_study,
    begin,
    end_badly,
    get_study,
    save_trainer,
    start_runs,
    start_study,
)
from modelyard.training.service import finish as finish_training
from modelyard.training.service import log as log_metrics
from modelyard.training.slices import RowSlice, SliceKind
from modelyard.wiring import Platform, open_platform, read_settings

SPRING = datetime(2013, 4, 1, tzinfo=UTC)
WEEK = timedelta(days=7)
FAULT = datetime(2013, 6, 24, tzinfo=UTC)
MENDED_SKILL = 0.9
HOSTILE = "<script>alert('x')</script>"
INPUTS = ("scheduled", "origin", "carrier", "hour", "wind_speed", "temp")


@dataclass
class Filled:
    """The platform and what tests ask about it."""

    platform: Platform
    clock: ManualClock
    actor: Actor
    token: str
    project: Project
    rng: np.random.Generator
    skill: dict[int, float]  # version → how well it knows the truth, 0 to 1
    fitted: Digest | None = None
    data: DatasetVersion | None = None
    trainer: Digest | None = None

    @property
    def id(self) -> ProjectId:
        return self.project.id


def open_filled(home: Path, *, weeks: int = 39, a_day: int = 160) -> Filled:
    """Return a platform that has lived `weeks` weeks, with about `a_day` answers a day."""
    opened = open_platform(read_settings(home=home, environment={}, folder=home))
    clock = ManualClock(SPRING - timedelta(days=1))
    platform = replace(opened, clock=clock, ids=IdMaker(clock))
    actor, token = bootstrap(platform)
    project = create_project(platform, actor, "flights")
    made = Filled(platform, clock, actor, token or "", project, np.random.default_rng(7), {})
    fill_data(made)
    fill_training(made)
    fill_registry(made)
    fill_serving(made)
    for week in range(weeks):
        live_week(made, SPRING + week * WEEK, a_day)
        if week == min(26, weeks - 2):
            push_bad_version(made)
    fill_jobs(made)
    return made


# Data and training


def raw_rows(made: Filled, start: datetime, days: int, a_day: int) -> pl.DataFrame:
    """Return flights of some days: what is known at departure, and the truth."""
    rng, n = made.rng, days * a_day
    minutes = np.sort(rng.integers(5 * 60, 23 * 60, n) + 1440 * np.repeat(np.arange(days), a_day))
    at = [start + timedelta(minutes=int(m)) for m in minutes]
    hour = np.array([one.hour for one in at])
    season = np.array([np.sin(2 * np.pi * one.timetuple().tm_yday / 365) for one in at])
    wind = rng.gamma(4.0, 2.5, n)
    temp = 55 - 22 * np.cos(2 * np.pi * np.array([one.timetuple().tm_yday for one in at]) / 365) + rng.normal(0, 6, n)
    logit = -2.1 + 0.13 * (hour - 12) + 0.06 * (wind - 10) + 0.6 * season + rng.normal(0, 0.5, n)
    return pl.DataFrame(
        {
            "flight_id": [f"f{start:%Y%m%d}-{k:05}" for k in range(n)],
            "scheduled": at,
            "origin": rng.choice(["EWR", "JFK", "LGA"], n),
            "carrier": rng.choice(["UA", "B6", "EV", "DL", "AA"], n, p=[0.28, 0.24, 0.2, 0.16, 0.12]),
            "hour": hour.astype(np.float64),
            "wind_speed": np.round(wind, 1),
            "temp": np.round(temp, 1),
            "late": (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.int64),
            "_logit": logit,
        }
    )


def fill_data(made: Filled) -> None:
    """Datasets with lineage, a stopped batch, and one whose name and cells are hostile."""
    ports, actor, project = made.platform, made.actor, made.id
    create_dataset(ports, actor, project, "weather", key=["origin", "observed_at"], time="observed_at")
    hours = [SPRING - timedelta(hours=h) for h in range(600, 0, -1)]
    weather = pl.DataFrame({"origin": ["JFK"] * 600, "observed_at": hours, "wind_speed": made.rng.gamma(4, 2.5, 600)})
    parent = append(ports, actor, project, "weather", weather).version
    assert parent is not None
    mended = weather.head(9).with_columns(wind_speed=pl.lit(0.5))
    other = weather.tail(3).with_columns(origin=pl.lit(HOSTILE))
    append(ports, actor, project, "weather", pl.concat([mended, other]), note="a mended hour", replacing=True)
    checks = [
        quality.not_null("late", "carrier"),
        quality.one_of("origin", ["EWR", "JFK", "LGA"]),
        quality.between("hour", 0, 23),
        quality.row_count(100, None),
        quality.warning(quality.mean_between("wind_speed", 0, 5)),
    ]
    create_dataset(ports, actor, project, "departures", key=["flight_id"], time="scheduled", checks=checks)
    rows = raw_rows(made, SPRING - timedelta(days=60), 60, 40).drop("_logit")
    source = Parent("source", "file:///data/flights.csv", "flights.csv")
    parents = [Parent("dataset_version", parent.id, "weather v1"), source]
    made.data = append(ports, actor, project, "departures", rows, parents=parents, note="January to March").version
    broken = rows.head(120).with_columns(pl.lit(HOSTILE).alias("origin"), pl.lit("new").alias("flight_id"))
    append(ports, actor, project, "departures", broken, note="a broken export")
    clicks = create_dataset(ports, actor, project, "clicks", source="kafka://broker.example:9092/clicks")
    undecoded = (Undecoded(f"{{{HOSTILE}".encode(), "clicks/0/7", "it is no JSON"),)
    page = pl.DataFrame({"page": ["/", "/buy"]})
    take_in(
        ports, actor, clicks, page, Origin((), "", False, page.schema, move=Move("", '{"next":{"0":8}}'), undecoded=undecoded)
    )
    create_dataset(ports, actor, project, "planes", key=["tailnum"], source="file:///data/planes.csv")


def fill_training(made: Filled) -> None:
    """Search by twelve trials, one of which fails."""
    ports, actor, project = made.platform, made.actor, made.id
    assert made.data is not None
    pipeline = Pipeline(
        (prep.one_hot("origin", "carrier"), prep.standardise("wind_speed", "temp"), prep.drop("flight_id", "scheduled"))
    )
    rows = raw_rows(made, SPRING - timedelta(days=60), 30, 20).drop("_logit")
    fitted = fit(pipeline, rows, label="late")
    [made.fitted] = ports.objects.put(project, [to_bytes(fitted.to_json())])
    code = Code("def train(run, fit, test, family, rate):\n    return family\n", "train")
    trainer = Trainer("delay", code, pipeline, "late", "log_loss", Direction.MINIMISE)
    made.trainer = save_trainer(ports, actor, project, trainer)
    space = Space({"rate": Float(0.01, 0.3, log=True)}, {"leaves": Int(8, 48)}, {"family": Choice(("boosting", "linear"))})
    study = start_study(
        ports, actor, project, trainer=made.trainer, space=space, data=made.data.id, trials=12, sampler="random"
    )
    while True:
        _, trials = get_study(ports, actor, project, study.id)
        waiting = [run for run in trials if run.state is RunState.PENDING]
        if not waiting:
            break
        for run in waiting:
            lease = take(ports, "worker-1", lease_s=600)
            assert lease is not None
            end_run(made, run)
            log(ports, lease, [(made.clock(), "stdout", f"trial {run.trial}: fitted on 1,920 rows")])
            finish(ports, lease, {"run": run.id})
        advance_study(ports, actor, project, study.id)
    keep_harm(made, trials[0])


def keep_harm(made: Filled, run: Run) -> None:
    """Keep what an examination of a run might have found: one harmful slice, one that is not, one not measured."""
    doubtful = pl.DataFrame(
        {"flight_id": ["f1", "f2"], "row": [7, 9], "reason": ["relabel", "fix"], "slices": ["", "no temp"],
         "score": [0.97, 0.5], "label": [1, 0], "suggested": [0, None]}
    )  # fmt: skip
    buffer = io.BytesIO()
    doubtful.write_parquet(buffer)
    [rows] = made.platform.objects.put(made.id, [buffer.getvalue()])
    slices = (
        SliceHarm(RowSlice(SliceKind.NULL, "no temp", 80, column="temp"), 4.0, 0.0123, 0.004, 0.02, 0.003, True),
        SliceHarm(
            RowSlice(SliceKind.VALUE, f"origin is {HOSTILE}", 60, column="origin", value=HOSTILE),
            1.0,
            -0.001,
            -0.01,
            0.008,
            1.0,
        ),
        SliceHarm(
            RowSlice(SliceKind.RARE, "rare carrier", 25, column="carrier"), 0.2, told="not measured: more fits would reach it"
        ),
    )
    found = Examination(
        run.id, run.data, "log_loss", 1920, 480, 0.47, 1, 21, 1.2, (Control(70, -0.001, 0.001),), slices, 2, rows,
        made.actor.member, made.clock(),
    )  # fmt: skip
    keep_examination(made.platform, made.actor, made.id, found)


def end_run(made: Filled, run: Run, *, loss: float | None = None) -> Run:
    """Train a run: log points, then finish; the trial numbered 5 fails."""
    ports, actor, project = made.platform, made.actor, made.id
    begin(ports, actor, project, run.id)
    made.clock.advance(seconds=20)
    if run.trial == 5:
        problem = {
            "code": "code.failed",
            "what": "The trainer delay raised ValueError",
            "why": HOSTILE,
            "next_step": "",
            "detail": {},
        }
        return end_badly(ports, actor.member, project, run.id, RunState.FAILED, problem)
    value = (
        loss
        if loss is not None
        else 0.46 + 0.5 * abs(float(run.recipe.params.get("rate", 0.1)) - 0.08) + made.rng.normal(0, 0.004)
    )
    curve = value + 0.25 * np.exp(-np.arange(25) / 6) + made.rng.normal(0, 0.002, 25)
    log_metrics(
        ports, actor, project, run.id, [MetricPoint("valid_loss", n, float(v), made.clock()) for n, v in enumerate(curve)]
    )
    [model] = ports.objects.put(project, [f"model of {run.id}".encode()])
    [env] = ports.objects.put(project, [to_bytes(environment())])
    metrics = {"log_loss": value, "roc_auc": 0.9 - value / 3, "brier": value / 3, "rows": 480.0}
    assert made.fitted is not None
    return finish_run(made, run, metrics, {"model": model, "pipeline": made.fitted}, env)


def finish_run(made: Filled, run: Run, metrics: Mapping[str, float], artifacts: Mapping[str, Digest], env: Digest) -> Run:
    return finish_training(made.platform, made.actor, made.id, run.id, Outputs(metrics, artifacts, "sklearn", env))


# Registry and serving


def fill_registry(made: Filled) -> None:
    """Version 1 is champion behind a gate; `crew` waits for an approval."""
    ports, actor, project = made.platform, made.actor, made.id
    gate = Gate(
        (
            Condition(ConditionKind.BETTER, -0.005, "log_loss", Direction.MINIMISE),
            Condition(ConditionKind.CHECKS),
            Condition(ConditionKind.LATENCY, 500.0),
            Condition(ConditionKind.PARITY, 1e-6),
        )
    )
    set_gate(ports, actor, project, "delay", "champion", gate)
    new_version(made, "delay", skill=0.8, loss=0.47)
    promote(ports, actor, project, "delay", 1, "challenger")
    promote(ports, actor, project, "delay", 1, "champion")
    set_gate(
        ports,
        actor,
        project,
        "crew-risk",
        "champion",
        Gate((Condition(ConditionKind.APPROVALS, 1), Condition(ConditionKind.CHECKS))),
    )
    new_version(made, "crew-risk", skill=0.5, loss=0.31)


def new_version(
    made: Filled,
    model: str,
    *,
    skill: float,
    loss: float,
    kind: RunKind = RunKind.TRAIN,
    against: int | None = None,
    **more: Any,
) -> ModelVersion:
    """Train a run in no time and register it."""
    ports, actor, project = made.platform, made.actor, made.id
    assert made.trainer and made.data and made.fitted
    new = NewRun(
        Recipe(made.trainer, {"family": "boosting", "rate": 0.08}, 7),
        made.data.id,
        kind,
        queued=False,
        experiment="delay",
        **more,
    )
    [run] = start_runs(ports, actor, project, [new])
    run = end_run(made, run, loss=loss)
    [native, onnx] = ports.objects.put(project, [f"native {run.id}".encode(), f"onnx {run.id}".encode()])
    inputs = tuple(
        Column(name, "Float64" if name in ("hour", "wind_speed", "temp") else "String")
        for name in INPUTS
        if name != "scheduled"
    )
    evaluation = Evaluation(
        run.id, against, 1400, "labelled, the newest week", "log_loss", loss, loss + 0.009 if against else None,
        {"log_loss": loss, "brier": loss / 3}, {"log_loss": loss + 0.009} if against else {}, made.clock(),
    )  # fmt: skip
    package = Package(
        run=run,
        pipeline=made.fitted,
        signature=Signature((Column("scheduled", "Datetime[UTC]"), *inputs), (Column("probability", "Float64"),)),
        forms=(
            Form("native", native, 181_000, "sklearn", 0, 0.0, 412.0),
            Form("onnx", onnx, 96_000, "onnxruntime", 20_480, 3e-8, 31.0),
        ),
        slices=tuple(
            Slice("origin", o, 160, {"log_loss": loss + d, "roc_auc": 0.74 - d})
            for o, d in (("EWR", 0.02), ("JFK", -0.01), ("LGA", 0.0))
        ),
        evaluations=(evaluation,),
        checks_green=True,
        card=f"# {model}\n\nPredicts whether a flight is **over 15 minutes late**.\n\n- trained on departures\n- {HOSTILE}\n",
        note="first" if against is None else "refit with the newest week",
    )
    version = register(ports, actor, project, model, package)
    if model == "delay":
        made.skill[version.number] = skill
    return version


def fill_serving(made: Filled) -> None:
    """Deploy, with a monitor, a policy and members."""
    ports, actor, project = made.platform, made.actor, made.id
    deploy(ports, actor, project, "delay", model="delay", canary=(10, 50, 100), time="scheduled", tolerance=0.06)
    tests = (MonitorTest("drift"), MonitorTest("performance", "brier", 0.02))
    create_monitor(
        ports, actor, project, "arrivals", deployment="delay", window_s=7 * 86_400, label_delay_s=86_400, tests=tests
    )
    day = 86_400
    rules = (
        Rule(TriggerKind.ALARM, ActionKind.RETRAIN, monitor="arrivals", cooldown_s=10 * day),
        Rule(TriggerKind.SCHEDULE, ActionKind.RETRAIN, cron="0 6 1 * *", cooldown_s=20 * day),
    )
    apply_policy(
        ports,
        actor,
        project,
        "keep-delay-right",
        deployment="delay",
        rules=rules,
        retraining=Retraining("departures"),
        budget=6,
        budget_s=180 * day,
    )
    create_member(ports, actor, name="ann", role=Role.TRAINER)
    create_member(ports, actor, name="bob", role=Role.APPROVER)


# The year


def live_week(made: Filled, start: datetime, a_day: int) -> None:
    """One week of traffic: answers, labels two days later, and the loop's turns."""
    for day in (0, 3):
        days = 3 if day == 0 else 4
        answer(made, start + timedelta(days=day), days, a_day)
        made.clock.set(start + timedelta(days=day + days))
        for _ in range(3):
            turn(made.platform, made.id)
            made.clock.advance(minutes=20)
            work(made)


def answer(made: Filled, start: datetime, days: int, a_day: int) -> None:
    """Write ledger rows and labels as the gateway and the airport would."""
    ports, project, rng = made.platform, made.id, made.rng
    rows = raw_rows(made, start, days, a_day)
    revision = latest_revision(ports, made.actor, project, "delay")
    routes = [choose(revision, key) for key in rows["flight_id"]]
    truth = rows["_logit"].to_numpy()
    skill = np.array([skill_at(made, route.version, start) for route in routes])
    p = 1 / (1 + np.exp(-(skill * truth + (1 - skill) * (rng.normal(0, 2.2, len(truth)) - 1))))
    served = rows.with_columns(pl.col("hour") + 4.0) if start >= FAULT else rows
    frame = pl.DataFrame(
        {
            "id": rows["flight_id"],
            "request": rows["flight_id"],
            "deployment": ["delay"] * rows.height,
            "revision": [revision.number] * rows.height,
            "model": ["delay"] * rows.height,
            "version": [route.version for route in routes],
            "form": ["onnx"] * rows.height,
            "route": [route.kind.value for route in routes],
            "time": rows["scheduled"],
            "answered_at": rows["scheduled"],
            "latency_us": np.round(rng.lognormal(6.3, 0.5, rows.height)).astype(np.int64),
            "caller": [made.actor.member] * rows.height,
            "answer": p,
            **{f"input.{name}": served[name] for name in INPUTS},
        },
        schema_overrides=dict(META),
    )
    ports.lake.append(project, ledger_table("delay"), frame, commit=f"segment-{start:%Y%m%d}")
    beside = frame.with_columns(
        pl.lit("shadow").alias("route"), pl.lit(2, pl.Int64()).alias("version"), (pl.col("answer") * 0.9 + 0.02).alias("answer")
    )
    ports.lake.append(project, shadow_table("delay"), beside.head(200), commit=f"segment-{start:%Y%m%d}")
    failed = {"at": to_text(rows["scheduled"][0]), "version": 1, "route": "live", "code": "column.invalid", "status": 400}
    failures = failure_rows([failed, failed, {**failed, "version": None, "code": "request.invalid"}])
    ports.lake.append(project, failure_table("delay"), failures, commit=f"segment-{start:%Y%m%d}")
    late = rows["late"].to_list()
    labels = [
        Label(i, float(v), t + timedelta(hours=5), t + timedelta(days=1))
        for i, v, t in zip(rows["flight_id"], late, rows["scheduled"], strict=True)
    ]
    add_labels(ports, made.actor, project, "delay", labels)


def skill_at(made: Filled, version: int, at: datetime) -> float:
    """Return how well a version knows the truth: the fault of the feed hurts those trained before it."""
    skill = made.skill[version]
    return skill - 0.45 if at >= FAULT and skill < MENDED_SKILL else skill


def work(made: Filled) -> None:
    """Do the retraining that waits, as a worker would."""
    ports = made.platform
    lease = take(ports, "worker-1", lease_s=600, kinds=["deployment.retrain"])
    if lease is None:
        return
    made.clock.advance(minutes=2)
    after = made.clock() >= FAULT
    aliases = find_aliases(ports, made.actor, made.id, "delay")
    champion = next(one.version for one in aliases if one.name == "champion")
    version = new_version(
        made, "delay", skill=0.93 if after else 0.82, loss=0.45, kind=RunKind.REFIT, against=champion, cause=lease.job.cause
    )
    log(ports, lease, [(made.clock(), "stdout", "take in the labelled predictions"), (made.clock(), "stdout", "refit")])
    finish(ports, lease, {"version": version.number, "run": version.run})


def push_bad_version(made: Filled) -> None:
    """Break the glass for a version that knows nothing."""
    version = new_version(made, "delay", skill=0.05, loss=0.66, against=2)
    try:
        push(made.platform, made.actor, made.id, "delay", version.number, reason="the board wants it live today")
    except Problem as problem:
        if problem.code != "rollout.conflict":
            raise


def fill_jobs(made: Filled) -> None:
    """One job of each state, and a schedule."""
    ports, actor, project = made.platform, made.actor, made.id
    submit(ports, actor, project, kind="model.score", title="score 40,000 rows with delay@champion", payload={})
    lease = take(ports, "worker-2", lease_s=86_400)
    assert lease is not None
    keep(ports, lease, lease_s=86_400, progress=Progress(0.4, "16,000 of 40,000 rows"))
    log(ports, lease, [(made.clock(), "stdout", f"part {n} of 10: 4,000 rows answered") for n in range(1, 5)])
    failed = submit(ports, actor, project, kind="run.train", title=f"train {HOSTILE}", payload={"run": "none"}, max_attempts=1)
    lost = take(ports, "worker-1", lease_s=60)
    assert lost is not None and lost.job.id == failed.id
    log(ports, lost, [(made.clock(), "stderr", "Traceback (most recent call last):"), (made.clock(), "stderr", HOSTILE)])
    fail(
        ports,
        lost,
        Problem("code.failed", "The trainer delay raised KeyError", "'dep_time'", "", {"traceback": ["line 1", HOSTILE]}),
    )
    submit(ports, actor, project, kind="model.score", title="score the night's rows", payload={})
    save_schedule(
        ports,
        actor,
        project,
        name="nightly",
        cron="0 3 * * *",
        kind="dataset.snapshot",
        title="snapshot planes",
        payload={"dataset": "planes"},
    )
