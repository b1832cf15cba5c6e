"""One example of each thing that the metadata keeps, every field of it filled; tests change what they are about."""

from datetime import UTC, datetime, timedelta

from modelyard.core import MemberId, OrganisationId, ProjectId, digest_bytes
from modelyard.data import (
    Check,
    CheckOutcome,
    Column,
    Dataset,
    DatasetId,
    DatasetVersion,
    DatasetVersionId,
    Parent,
    Schema,
    Severity,
    Split,
    SplitKind,
)
from modelyard.jobs import Job, JobId, JobState, Limits, Schedule
from modelyard.monitoring import (
    Alert,
    AlertId,
    AlertKind,
    Monitor,
    MonitorId,
    MonitorTest,
    QueuedRow,
    QueueReason,
    QueueState,
    Window,
)
from modelyard.monitoring.drift import ColumnDrift
from modelyard.prepare import PipelineVersion
from modelyard.reactions import (
    ActionKind,
    Decision,
    DecisionId,
    Policy,
    PolicyId,
    Retraining,
    Rule,
    TriggerKind,
)
from modelyard.registry import (
    Alias,
    Approval,
    Best,
    Combining,
    Composition,
    Condition,
    ConditionKind,
    Evaluation,
    Form,
    Gate,
    Model,
    ModelId,
    ModelVersion,
    Part,
    Signature,
    Slice,
)
from modelyard.serving import (
    Deployment,
    DeploymentId,
    Judgement,
    Revision,
    Rollout,
    RolloutId,
    RolloutState,
    Route,
    RouteKind,
    Verdict,
)
from modelyard.tenancy import Member, Organisation, Project, Role, Token, TokenId
from modelyard.training import (
    Choice,
    Direction,
    Float,
    Int,
    Recipe,
    Run,
    RunId,
    RunKind,
    RunState,
    Space,
    Study,
    StudyId,
    StudyState,
)

NOON = datetime(2013, 6, 24, 12, 0, 0, 123456, tzinfo=UTC)
FLIGHTS = ProjectId("project_flights")
CHURN = ProjectId("project_churn")
AIRPORT = OrganisationId("organisation_airport")
BANK = OrganisationId("organisation_bank")
ANN = "member_ann"
DIGEST = digest_bytes(b"content")


def organisation(id_: OrganisationId = AIRPORT, *, name: str = "airport") -> Organisation:
    """Return a tenant."""
    return Organisation(id_, name, NOON)


def project(id_: ProjectId = FLIGHTS, of: OrganisationId = AIRPORT, *, name: str = "flights") -> Project:
    """Return a project."""
    return Project(id_, of, name, NOON)


def member(name: str = "ann", of: OrganisationId = AIRPORT, *, role: Role | None = Role.TRAINER) -> Member:
    """Return a member whose id follows from the name."""
    return Member(MemberId(f"member_{name}"), of, name, role, NOON)


def token(number: int = 1, of: OrganisationId = AIRPORT, *, holder: str = "ann") -> Token:
    """Return a token that ends in a day."""
    id_, hash_ = TokenId(f"token_{of}_{number}"), digest_bytes(f"{of} {number}".encode())
    return Token(id_, of, MemberId(f"member_{holder}"), f"laptop {number}", hash_, Role.VIEWER, NOON, NOON + timedelta(days=1))


def job(number: int = 1, of: ProjectId = FLIGHTS) -> Job:
    """Return a queued job; the numbers are the order of making."""
    return Job(
        id=JobId(f"job_{number:04}"),
        project=of,
        kind="run.train",
        title=f"Train number {number}",
        payload={"run": f"run_{number}", "nested": {"b": [1, 2.5, None], "a": True}},
        state=JobState.QUEUED,
        created_by=ANN,
        created_at=NOON + timedelta(seconds=number),
        limits=Limits(time_s=60.0, memory_mb=512),
    )


def schedule(name: str = "nightly", of: ProjectId = FLIGHTS) -> Schedule:
    """Return a schedule."""
    return Schedule(of, name, "0 3 * * *", "dataset.snapshot", "Nightly snapshot", {"dataset": "weather"}, NOON, ANN)


def dataset(name: str = "weather", of: ProjectId = FLIGHTS) -> Dataset:
    """Return a dataset whose id follows from the name."""
    check = Check("between", ("temp",), {"low": -60, "high": 60.5}, Severity.WARNING)
    return Dataset(DatasetId(f"dataset_{name}"), of, name, ("origin", "hour"), "hour", "file:///weather.csv", (check,), NOON)


def dataset_version(number: int = 1, of: ProjectId = FLIGHTS, *, name: str = "weather") -> DatasetVersion:
    """Return a version of the dataset of that name."""
    check = Check("not_null", ("temp",))
    return DatasetVersion(
        id=DatasetVersionId(f"version_{name}_{number:04}"),
        project=of,
        dataset=DatasetId(f"dataset_{name}"),
        name=name,
        number=number,
        digest=DIGEST,
        rows=26_115,
        size_bytes=1 << 40,
        schema=Schema((Column("hour", "Datetime(time_unit='us', time_zone='UTC')"), Column("temp", "Float64"))),
        profile=DIGEST,
        table_version=number - 1,
        parents=(Parent("source", "file:///weather.csv", "weather.csv"),),
        outcomes=(CheckOutcome(check, 2, ({"origin": "JFK", "temp": None},)),),
        event_from=NOON - timedelta(days=100),
        event_until=NOON,
        created_by=ANN,
        created_at=NOON,
        note="täglich",
    )


def pipeline_version(number: int = 1, of: ProjectId = FLIGHTS, *, name: str = "features") -> PipelineVersion:
    """Return a saved pipeline of two steps and a promise."""
    return PipelineVersion(
        project=of,
        name=name,
        number=number,
        digest=DIGEST,
        kinds=("fill_null", "function"),
        checks=(Check("not_null", ("temp",)),),
        created_by=ANN,
        created_at=NOON,
        note="temperatures filled",
    )


def run(number: int = 1, of: ProjectId = FLIGHTS) -> Run:
    """Return a finished run with metrics."""
    return Run(
        id=RunId(f"run_{number:04}"),
        project=of,
        experiment="delay",
        number=number,
        kind=RunKind.TRAIN,
        recipe=Recipe(DIGEST, {"depth": 4, "rate": 0.1, "loss": "log_loss", "early": False, "layers": [8, 4]}, seed=7),
        metric="roc_auc",
        data=DatasetVersionId("version_weather_0001"),
        split=Split(SplitKind.TIME, 0.25, NOON),
        state=RunState.FINISHED,
        created_by=ANN,
        created_at=NOON,
        job=JobId(f"job_{number:04}"),
        trial=number - 1,
        cause="alert_1",
        refit_of=RunId("run_0000"),
        metrics={"log_loss": 0.5 + number / 1000, "roc_auc": 0.8 - number / 1000},
        artifacts={"model": DIGEST, "pipeline": DIGEST},
        environment=DIGEST,
        source=DIGEST,
        started_at=NOON,
        finished_at=NOON + timedelta(minutes=1),
        problem={"code": "run.failed", "what": "It raised", "detail": {"traceback": ["line 1"]}},
    )


def study(number: int = 1, of: ProjectId = FLIGHTS) -> Study:
    """Return a running study."""
    return Study(
        id=StudyId(f"study_{number:04}"),
        project=of,
        experiment="delay",
        trainer=DIGEST,
        data=DatasetVersionId("version_weather_0001"),
        space=Space({"rate": Float(0.01, 0.3, log=True)}, {"depth": Int(3, 9)}, {"loss": Choice(("a", 2, None))}),
        metric="roc_auc",
        direction=Direction.MAXIMISE,
        trials=20,
        parallel=4,
        sampler="tpe",
        seed=0,
        state=StudyState.RUNNING,
        created_by=ANN,
        created_at=NOON,
        best=RunId("run_0001"),
        finished_at=NOON,
    )


def model(name: str = "delay", of: ProjectId = FLIGHTS) -> Model:
    """Return a model whose id follows from the name."""
    return Model(ModelId(f"model_{name}"), of, name, NOON, "Will it be late?")


def model_version(number: int = 1, of: ProjectId = FLIGHTS, *, name: str = "delay") -> ModelVersion:
    """Return a version of the model of that name."""
    rivals = ({"log_loss": 0.50}, {"log_loss": 0.52})
    return ModelVersion(
        project=of,
        model=name,
        number=number,
        run=RunId("run_0001"),
        recipe=Recipe(DIGEST, {"depth": 4}),
        data=DatasetVersionId("version_weather_0001"),
        pipeline=DIGEST,
        signature=Signature((Column("temp", "Float64"),), (Column("probability", "Float64"),)),
        forms=(
            Form("native", DIGEST, 1000, "sklearn"),
            Form("onnx", DIGEST, 900, "onnxruntime", 500, 1e-7, 35.5, 1e-6),
            Form("onnx-int8", DIGEST, 300, "onnxruntime", 500, 1e-2, 30.5, 0.02, approximate=True),
        ),
        metrics={"log_loss": 0.5},
        slices=(Slice("origin", "JFK", 100, {"log_loss": 0.4}),),
        evaluations=(Evaluation(RunId("run_0001"), 1, 700, "held-out test split", "log_loss", 0.50, 0.52, *rivals, NOON),),
        checks_green=True,
        card=DIGEST,
        created_by=ANN,
        created_at=NOON,
        refit_of=RunId("run_0000"),
        cause="alert_1",
        note="first",
        composition=Composition(
            Combining.ROUTE,
            (Part("small", 3, "calm"), Part("big", 7, "storm")),
            Part("small", 3, "small"),
            limits=(0.5,),
        ),
    )


def alias(name: str = "champion", of: ProjectId = FLIGHTS, *, model: str = "delay", version: int | None = 1) -> Alias:
    """Return an alias with a gate."""
    gate = Gate((Condition(ConditionKind.BETTER, 0.002, "log_loss", Direction.MINIMISE), Condition(ConditionKind.CHECKS)))
    best = Best("log_loss", Direction.MINIMISE, 500.0, 1_000_000, barred=(2,))
    return Alias(of, model, name, version, gate, NOON, ANN, previous=None, best=best)


def approval(by: str = ANN, of: ProjectId = FLIGHTS, *, version: int = 1) -> Approval:
    """Return a broken glass."""
    return Approval(of, "delay", version, "champion", by, NOON, "it must go out", break_glass=True)


def deployment(name: str = "delay", of: ProjectId = FLIGHTS) -> Deployment:
    """Return a deployment whose id follows from the name."""
    id_ = DeploymentId(f"deployment_{name}")
    return Deployment(id_, of, name, "delay", "champion", (10, 50, 100), "time", 0.01, "log_loss", ANN, NOON)


def revision(number: int = 1, *, name: str = "delay") -> Revision:
    """Return a revision of the deployment of that name."""
    routes = (Route(1, 90), Route(2, 10, RouteKind.CANARY))
    return Revision(DeploymentId(f"deployment_{name}"), number, routes, "rollout_0001", NOON)


def rollout(number: int = 1, of: ProjectId = FLIGHTS, *, name: str = "delay") -> Rollout:
    """Return a rollout that was judged."""
    judgement = Judgement(Verdict.UNDECIDED, -0.01, 0.02, 100, 900, 0.03)
    id_, by = RolloutId(f"rollout_{number:04}"), DeploymentId(f"deployment_{name}")
    return Rollout(id_, of, by, name, 2, 1, 0, RolloutState.RUNNING, "alert_1", False, NOON, NOON, judgement, NOON)


def monitor(name: str = "watch", of: ProjectId = FLIGHTS) -> Monitor:
    """Return a monitor whose id follows from the name."""
    tests = (MonitorTest("drift"), MonitorTest("performance", "brier", 0.02))
    return Monitor(MonitorId(f"monitor_{name}"), of, name, "delay", 86_400, 3600, tests, ANN, NOON, NOON, {"wealth": [1.5, 2]})


def window(day: int = 1, of: ProjectId = FLIGHTS, *, name: str = "watch") -> Window:
    """Return the window of a day, of the monitor of that name."""
    start = NOON + timedelta(days=day)
    drift = ColumnDrift("temp", 0.001, 0.2, None, 0.01, 0.0, 1000, True, False, True, "it rose")
    return Window(
        monitor=MonitorId(f"monitor_{name}"),
        project=of,
        start=start,
        end=start + timedelta(days=1),
        version=1,
        rows=1000,
        labelled=900,
        metrics={"brier": 0.2},
        reference_loss=0.19,
        evidence=3.5,
        drift=(drift,),
        by_version={"1": {"rows": 1000.0, "log_loss": 0.5}},
        at=start,
    )


def alert(number: int = 1, of: ProjectId = FLIGHTS, *, kind: AlertKind = AlertKind.ALARM, name: str = "watch") -> Alert:
    """Return an alert of the monitor of that name."""
    id_, by = AlertId(f"alert_{number:04}"), MonitorId(f"monitor_{name}")
    return Alert(id_, of, by, name, "delay", kind, "brier", 1, NOON, "The loss rose.", {"wealth": 10_000.5})


def queued_row(number: int = 1, of: ProjectId = FLIGHTS, *, state: QueueState = QueueState.OPEN) -> QueuedRow:
    """Return a row of the label queue that Ann holds for a day."""
    until = NOON + timedelta(days=1)
    return QueuedRow(of, "delay", f"prediction_{number:04}", QueueReason.UNCERTAIN, 0.9, state, ANN, until, NOON)


def policy(name: str = "loop", of: ProjectId = FLIGHTS) -> Policy:
    """Return a policy whose id follows from the name."""
    rules = (
        Rule(TriggerKind.ALARM, ActionKind.RETRAIN, monitor="watch", cooldown_s=60),
        Rule(TriggerKind.SCHEDULE, ActionKind.HOLD),
    )
    id_, state = PolicyId(f"policy_{name}"), {"0 3 * * 1": "2013-06-24T03:00:00.000000Z"}
    return Policy(id_, of, name, "delay", rules, Retraining("flights", 60, 120), 4, 2_592_000, ANN, NOON, True, state)


def decision(
    number: int = 1, of: ProjectId = FLIGHTS, *, action: ActionKind = ActionKind.HOLD, cause: str = "alert_1"
) -> Decision:
    """Return a decision; numbers are the order of making, and minutes of its time."""
    at = NOON + timedelta(minutes=number)
    return Decision(
        DecisionId(f"decision_{number:04}"), of, "loop", "delay", action, cause, 1, "Held.", {"budget": 0}, "policy:loop", at
    )
