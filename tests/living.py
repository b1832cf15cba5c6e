"""A deployment that lives: versions that know the truth more or less, answers, labels, and the loop round them."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.core import Digest, IdMaker, ManualClock, MemberId, PageRequest, Problem, ProjectId, digest_bytes
from modelyard.data import Column
from modelyard.data.service import append, create_dataset, get_version
from modelyard.jobs import JobState, Lease
from modelyard.jobs.lease import fail, finish, take
from modelyard.monitoring import Alert, Label, Monitor, MonitorTest, Window
from modelyard.monitoring.labels import add_labels
from modelyard.monitoring.service import create_monitor, find_alerts, find_monitors, find_windows
from modelyard.reactions import ActionKind, Decision, Policy, Retraining, Rule, TriggerKind
from modelyard.reactions.service import apply_policy, find_decisions, turn
from modelyard.registry import Evaluation, Form, ModelVersion, Signature
from modelyard.registry.service import ensure_model, find_aliases, promote
from modelyard.serving import Deployment, Rollout, Route
from modelyard.serving.ledger import ledger_table
from modelyard.serving.rules import choose
from modelyard.serving.service import deploy, find_rollouts, get_deployment, latest_revision
from modelyard.tenancy import Actor
from modelyard.tenancy.service import actor_of, bootstrap, create_project
from modelyard.training import Recipe, RunId
from modelyard.training.metrics import measure
from modelyard.wiring import Platform, open_platform, read_settings

START = datetime(2013, 4, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DAY_S = 86_400
DIGEST: Digest = digest_bytes(b"content")
ALL = PageRequest(limit=1000)
PERFORMANCE = MonitorTest("performance", "brier", 0.02)
ON_ALARM = Rule(TriggerKind.ALARM, ActionKind.RETRAIN, monitor="watch")
WEEKLY = Rule(TriggerKind.SCHEDULE, ActionKind.RETRAIN, cron="0 6 * * 1")
Floats = NDArray[np.float64]


def truth(rng: np.random.Generator, rows: int) -> tuple[Floats, Floats]:
    """Return what a perfect model would know of rows, and their labels."""
    known = rng.normal(0, 1, rows)
    labels = (rng.random(rows) < 1 / (1 + np.exp(-2 * known))).astype(np.float64)
    return known, labels


def answers_of(skill: float, known: Floats) -> Floats:
    """Return a version's answers: of skill 1 they are right, of 0 they know nothing, of -1 they say the contrary."""
    found: Floats = 1 / (1 + np.exp(-2 * skill * known))
    return found


def promised(skill: float) -> dict[str, float]:
    """Return the metrics of a version of this skill on held-out rows."""
    known, labels = truth(np.random.default_rng(99), 20_000)
    return measure(labels, answers_of(skill, known))


@dataclass
class Living:
    """The platform, and what tests do with it. A skill is how well a version knows the truth; it may change with the world."""

    platform: Platform
    clock: ManualClock
    actor: Actor
    project: ProjectId
    rng: np.random.Generator
    skills: dict[int, float] = field(default_factory=dict)
    asked: int = 0

    # What is declared

    def version(
        self, skill: float, *, against: tuple[int, float] | None = None, number: int | None = None, **changes: Any
    ) -> int:
        """Register a version, with an evaluation beside another of some skill where one is named; return its number."""
        number = number or len(self.skills) + 1
        metrics = promised(skill)
        evaluations: tuple[Evaluation, ...] = ()
        if against is not None:
            other, its = against[0], promised(against[1])
            value, beside = metrics["log_loss"], its["log_loss"]
            run = RunId(f"run_judged_{number}")
            evaluations = (Evaluation(run, other, 500, "labelled", "log_loss", value, beside, metrics, its, self.clock()),)
            changes = {"refit_of": run, **changes}
        inputs = (Column("wind", "Float64"), Column("place", "String"))
        made = ModelVersion(
            project=self.project,
            model="delay",
            number=number,
            run=RunId(f"run_{number}"),
            recipe=Recipe(DIGEST, {}),
            data=get_version(self.platform, self.actor, self.project, "trips").id,
            pipeline=DIGEST,
            signature=Signature(inputs, (Column("probability", "Float64"),)),
            forms=(Form("native", DIGEST, 10, "sklearn", 0, 0.0, 300.0),),
            metrics=metrics,
            slices=(),
            evaluations=evaluations,
            checks_green=True,
            card=DIGEST,
            created_by=self.actor.member,
            created_at=self.clock(),
        )
        with self.platform.transaction() as tx:
            tx.models.add_versions(self.project, [replace(made, **changes)])
        self.skills[number] = skill
        return number

    def monitor(self, name: str = "watch", **rest: Any) -> Monitor:
        """Declare a monitor."""
        rest = {"deployment": "delay", "tests": (PERFORMANCE,), **rest}
        return create_monitor(self.platform, self.actor, self.project, name, **rest)

    def policy(self, name: str = "keep", rules: Sequence[Rule] = (ON_ALARM,), **rest: Any) -> Policy:
        """Apply a policy."""
        rest = {"deployment": "delay", "retraining": Retraining("trips"), **rest}
        return apply_policy(self.platform, self.actor, self.project, name, rules=rules, **rest)

    # What happens

    def ask(
        self,
        rows: int,
        start: datetime | None = None,
        span: timedelta = DAY,
        *,
        known_as: pl.Expr = pl.col("input.wind"),  # noqa: B008 - an expression has no state
    ) -> list[tuple[str, float, datetime]]:
        """Have the deployment answer rows spread over a stretch of event time; return id, truth and time of each.

        `known_as` is what the ledger holds of the wind.
        """
        start = start or self.clock()
        known, labels = truth(self.rng, rows)
        revision = latest_revision(self.platform, self.actor, self.project, "delay")
        ids = [f"p{self.asked + row:06}" for row in range(rows)]
        self.asked += rows
        routes = [choose(revision, one) for one in ids]
        times = [start + span * row / rows for row in range(rows)]
        answers = [float(answers_of(self.skills[r.version], known[[n]])[0]) for n, r in enumerate(routes)]
        frame = pl.DataFrame(
            {
                "id": ids,
                "request": ids,
                "deployment": ["delay"] * rows,
                "revision": [revision.number] * rows,
                "model": ["delay"] * rows,
                "version": [route.version for route in routes],
                "form": ["native"] * rows,
                "route": [route.kind.value for route in routes],
                "time": times,
                "answered_at": times,
                "latency_us": [900] * rows,
                "caller": ["test"] * rows,
                "answer": answers,
                "input.wind": known,
                "input.place": [("JFK", "LGA", "EWR")[row % 3] for row in range(rows)],
            },
            schema_overrides={"time": pl.Datetime("us", "UTC"), "answered_at": pl.Datetime("us", "UTC")},
        )
        self.ship(frame.select(pl.exclude("input.wind"), known_as))
        return [(one, float(label), at) for one, label, at in zip(ids, labels, times, strict=True)]

    def ship(self, frame: pl.DataFrame) -> None:
        """Write rows of the ledger."""
        self.platform.lake.append(self.project, ledger_table("delay"), frame, commit=self.platform.ids("ship"))

    def label(self, happened: Sequence[tuple[str, float, datetime]]) -> int:
        """Send labels, known an hour after the event."""
        now = self.clock()
        labels = [Label(one, value, at + timedelta(hours=1), now) for one, value, at in happened]
        return add_labels(self.platform, self.actor, self.project, "delay", labels)

    def live(self, days: int = 1, *, rows: int = 300, turns: int = 2) -> list[Decision]:
        """Let days pass, labels and the loop's turns at the end of each; return the decisions made."""
        made: list[Decision] = []
        for _ in range(days):
            happened = self.ask(rows)
            self.clock.advance(days=1)
            self.label(happened)
            for _ in range(turns):
                made += self.turn()
        return made

    def turn(self) -> list[Decision]:
        """Let the loop turn once."""
        return turn(self.platform, self.project)

    def member(self, member: MemberId) -> Actor:
        """Return a member as an actor."""
        return actor_of(self.platform, member)

    def queued(self) -> int:
        """Return how many retrainings wait for a worker."""
        states, kinds = [JobState.QUEUED], ["deployment.retrain"]
        with self.platform.reading() as tx:
            return len(tx.jobs.find(self.project, ALL, states=states, kinds=kinds).items)

    def take(self) -> Lease:
        """Take the retraining that is queued."""
        lease = take(self.platform, "worker", lease_s=600, kinds=["deployment.retrain"])
        assert lease is not None, "no retraining is queued"
        return lease

    def retrained(self, skill: float, *, against: tuple[int, float] | None = None, **changes: Any) -> int:
        """End the retraining that is queued: its version has this skill. `against` is the champion's number and skill."""
        lease = self.take()
        number = self.version(skill, against=against or (self.champion() or 0, 1.0), cause=lease.job.cause, **changes)
        finish(self.platform, lease, {"version": number, "run": f"run_{number}"})
        return number

    def failed(self, code: str = "code.failed") -> None:
        """End the retraining that is queued badly."""
        fail(self.platform, self.take(), Problem(code, "The trainer failed", "ValueError"))

    # What is seen

    def champion(self) -> int | None:
        """Return the version that the alias names."""
        return find_aliases(self.platform, self.actor, self.project, "delay")[0].version

    def routes(self) -> tuple[Route, ...]:
        """Return what the deployment answers with."""
        return latest_revision(self.platform, self.actor, self.project, "delay").routes

    def rollout(self) -> Rollout:
        """Return the newest rollout of the deployment."""
        return find_rollouts(self.platform, self.actor, self.project, ALL, name="delay").items[0]

    def deployment(self) -> Deployment:
        """Return the deployment."""
        return get_deployment(self.platform, self.actor, self.project, "delay")

    def decisions(self) -> list[Decision]:
        """Return all decisions, oldest first."""
        return list(find_decisions(self.platform, self.actor, self.project, ALL).items)[::-1]

    def actions(self) -> list[str]:
        """Return what was done, oldest first."""
        return [one.action.value for one in self.decisions()]

    def alerts(self) -> list[Alert]:
        """Return all alerts, oldest first."""
        return list(find_alerts(self.platform, self.actor, self.project, ALL).items)[::-1]

    def windows(self, name: str = "watch") -> list[Window]:
        """Return all windows of a monitor, oldest first."""
        return list(find_windows(self.platform, self.actor, self.project, name, ALL).items)[::-1]

    def watch(self, name: str = "watch") -> Monitor:
        """Return a monitor as it stands."""
        return next(one for one in find_monitors(self.platform, self.actor, self.project) if one.name == name)


def build(home: Path) -> None:
    """Make a platform with a dataset, a champion and its deployment."""
    with opened(home, first=True, id_seed=0) as living:
        place = (living.platform, living.actor, living.project)
        create_dataset(*place, "trips", key=["trip"], time="at")
        known, labels = truth(living.rng, 2000)
        frame = pl.DataFrame(
            {
                "trip": [f"t{row}" for row in range(2000)],
                "at": [START - DAY * 60 + timedelta(minutes=40 * row) for row in range(2000)],
                "wind": known,
                "place": [("JFK", "LGA", "EWR")[row % 3] for row in range(2000)],
                "late": labels.astype(np.int64),
            },
            schema_overrides={"at": pl.Datetime("us", "UTC")},
        )
        append(*place, "trips", frame)
        ensure_model(*place, "delay")
        living.version(1.0)
        promote(*place, "delay", 1, "champion")
        deploy(*place, "delay", model="delay", tolerance=0.05, loss="brier")


@contextmanager
def opened(home: Path, *, first: bool = False, seed: int = 5, id_seed: int = 1) -> Iterator[Living]:
    """Open what `build` made, as a process would that starts now."""
    clock = ManualClock(START)
    numbers = np.random.default_rng(id_seed)
    ids = IdMaker(clock, numbers.bytes)
    made = open_platform(read_settings(home=home, environment={}, folder=home))
    platform = replace(made, clock=clock, ids=ids)
    actor, _ = bootstrap(platform)
    with platform.transaction() as tx:
        known = tx.tenancy.projects(actor.organisation)
    project = known[0].id if known else create_project(platform, actor, "flights").id
    living = Living(platform, clock, actor_of(platform, actor.member), project, np.random.default_rng(seed))
    if not first:
        living.skills[1] = 1.0
    try:
        yield living
    finally:
        platform.close()


def copy(template: Path, home: Path) -> Path:
    """Return a copy of a built platform."""
    shutil.copytree(template, home)
    return home
