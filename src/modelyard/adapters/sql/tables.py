"""The tables, once for both engines.

What is searched, sorted or changed alone has a column; the rest of a dataclass is the JSON of `body`. Each key begins with the
project (in tenancy the organisation), and so do foreign keys: the id of another project can neither be read nor pointed at.
A change here needs a migration; a test holds the two together.
"""

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Double, ForeignKeyConstraint, Index, Integer, Table, UniqueConstraint

from modelyard.adapters.sql.columns import BIG, WORD, Instant, JsonText

HEAD = "0005"  # the newest migration

METADATA = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def word(name: str, *, key: bool = False, null: bool = False) -> Column[str]:
    """Return a column of text that sorts by its bytes."""
    return Column(name, WORD, primary_key=key, nullable=null)


def number(name: str, *, key: bool = False, null: bool = False) -> Column[int]:
    """Return a column of whole numbers."""
    return Column(name, Integer, primary_key=key, nullable=null, autoincrement=False)


def instant(name: str, *, key: bool = False, null: bool = False) -> Column[object]:
    """Return a column of times."""
    return Column(name, Instant, primary_key=key, nullable=null)


def body(name: str = "body", *, null: bool = False) -> Column[object]:
    """Return a column of JSON."""
    return Column(name, JsonText, nullable=null)


EVENT = Table(
    "event",
    METADATA,
    Column("position", BIG, primary_key=True, autoincrement=True),
    word("project"),
    word("kind"),
    word("subject"),
    word("actor"),
    instant("at"),
    body("data"),
    Index(None, "project", "position"),
    Index(None, "project", "subject", "position"),
    sqlite_autoincrement=True,
)
EVENT_CURSOR = Table(
    "event_cursor", METADATA, word("project", key=True), word("consumer", key=True), Column("position", BIG, nullable=False)
)

ORGANISATION = Table(
    "organisation", METADATA, word("id", key=True), word("name"), instant("created_at"), UniqueConstraint("name")
)
PROJECT = Table(
    "project",
    METADATA,
    word("id", key=True),
    word("organisation"),
    word("name"),
    instant("created_at"),
    UniqueConstraint("organisation", "name"),
    UniqueConstraint("organisation", "id"),
    ForeignKeyConstraint(["organisation"], ["organisation.id"]),
)
MEMBER = Table(
    "member",
    METADATA,
    word("id", key=True),
    word("organisation"),
    word("name"),
    word("role", null=True),
    instant("created_at"),
    UniqueConstraint("organisation", "name"),
    UniqueConstraint("organisation", "id"),
    ForeignKeyConstraint(["organisation"], ["organisation.id"]),
)
MEMBERSHIP = Table(
    "membership",
    METADATA,
    word("organisation"),
    word("project", key=True),
    word("member", key=True),
    word("role"),
    Index(None, "organisation", "member"),
    ForeignKeyConstraint(["organisation", "project"], ["project.organisation", "project.id"]),
    ForeignKeyConstraint(["organisation", "member"], ["member.organisation", "member.id"]),
)
TOKEN = Table(
    "token",
    METADATA,
    word("id", key=True),
    word("organisation"),
    word("member"),
    word("name"),
    word("secret_hash"),
    word("role", null=True),
    instant("created_at"),
    instant("expires_at", null=True),
    instant("revoked_at", null=True),
    body("limit", null=True),
    UniqueConstraint("secret_hash"),
    Index(None, "organisation", "id"),
    ForeignKeyConstraint(["organisation", "member"], ["member.organisation", "member.id"]),
)

NAMED_LOCK = Table(
    "named_lock",
    METADATA,
    word("name", key=True),
    word("owner"),
    Column("lease_until", Double, nullable=False),  # by the database's clock, seconds since 1970
)

JOB = Table(
    "job",
    METADATA,
    word("project", key=True),
    word("id", key=True),
    word("kind"),
    word("state"),
    word("cause", null=True),
    number("priority"),
    instant("created_at"),
    number("attempts"),
    number("max_attempts"),
    word("worker", null=True),
    Column("cancel_requested", Boolean, nullable=False),
    instant("started_at", null=True),
    instant("finished_at", null=True),
    body("progress"),
    body("result", null=True),
    body("problem", null=True),
    body(),
    Column("fence", BIG, nullable=False),
    Column("lease_until", Double, nullable=False),  # by the database's clock, seconds since 1970
    Column("due_at", Double, nullable=False),  # by the same; 0: at once
    UniqueConstraint("project", "kind", "cause"),
)
Index(
    "ix_job_next",
    JOB.c.priority.desc(),
    JOB.c.created_at,
    JOB.c.id,
    sqlite_where=sa.text("state IN ('queued', 'running')"),
    postgresql_where=sa.text("state IN ('queued', 'running')"),
)
Index(
    "ix_job_lease",
    JOB.c.lease_until,
    sqlite_where=sa.text("state = 'running'"),
    postgresql_where=sa.text("state = 'running'"),
)
JOB_LOG = Table(
    "job_log",
    METADATA,
    word("project", key=True),
    word("job", key=True),
    number("number", key=True),
    instant("at"),
    word("stream"),
    word("text"),
    ForeignKeyConstraint(["project", "job"], ["job.project", "job.id"]),
    sqlite_with_rowid=False,
)
SCHEDULE = Table(
    "schedule",
    METADATA,
    word("project", key=True),
    word("name", key=True),
    instant("next_at"),
    Column("enabled", Boolean, nullable=False),
    body(),
)

DATASET = Table(
    "dataset",
    METADATA,
    word("project", key=True),
    word("id", key=True),
    word("name"),
    body(),
    UniqueConstraint("project", "name"),
)
DATASET_VERSION = Table(
    "dataset_version",
    METADATA,
    word("project", key=True),
    word("id", key=True),
    word("dataset"),
    word("name"),
    number("number"),
    body(),
    UniqueConstraint("project", "dataset", "number"),
    Index(None, "project", "name", "id"),
    ForeignKeyConstraint(["project", "dataset"], ["dataset.project", "dataset.id"]),
)

PIPELINE_VERSION = Table(
    "pipeline_version", METADATA, word("project", key=True), word("name", key=True), number("number", key=True), body()
)

RUN = Table(
    "run",
    METADATA,
    word("project", key=True),
    word("id", key=True),
    number("number"),
    word("experiment"),
    word("state"),
    word("study", null=True),
    body(),
    UniqueConstraint("project", "number"),
    Index(None, "project", "study", "number"),
    Index(None, "project", "experiment", "number"),
)
METRIC_POINT = Table(
    "metric_point",
    METADATA,
    word("project", key=True),
    word("run", key=True),
    word("name", key=True),
    Column("step", BIG, primary_key=True, autoincrement=False),
    Column("value", Double),  # null: not a number
    instant("at"),
    ForeignKeyConstraint(["project", "run"], ["run.project", "run.id"]),
    sqlite_with_rowid=False,
)
LATEST_METRIC = Table(
    "latest_metric",
    METADATA,
    word("project", key=True),
    word("run", key=True),
    word("name", key=True),
    Column("value", Double),  # null: not a number
    Column("step", BIG),  # of the newest point; null: set with the run
    Index(None, "project", "name", "value", "run"),
    ForeignKeyConstraint(["project", "run"], ["run.project", "run.id"]),
    sqlite_with_rowid=False,
)
STUDY = Table("study", METADATA, word("project", key=True), word("id", key=True), body())

MODEL = Table(
    "model",
    METADATA,
    word("project", key=True),
    word("id", key=True),
    word("name"),
    body(),
    UniqueConstraint("project", "name"),
)
MODEL_VERSION = Table(
    "model_version",
    METADATA,
    word("project", key=True),
    word("model", key=True),
    number("number", key=True),
    body(),
    ForeignKeyConstraint(["project", "model"], ["model.project", "model.name"]),
)
ALIAS = Table(
    "alias",
    METADATA,
    word("project", key=True),
    word("model", key=True),
    word("name", key=True),
    body(),
    ForeignKeyConstraint(["project", "model"], ["model.project", "model.name"]),
)
APPROVAL = Table(
    "approval",
    METADATA,
    Column("position", BIG, primary_key=True, autoincrement=True),
    word("project"),
    word("model"),
    number("version"),
    body(),
    Index(None, "project", "model", "version", "position"),
    ForeignKeyConstraint(["project", "model"], ["model.project", "model.name"]),
    sqlite_autoincrement=True,
)

DEPLOYMENT = Table(
    "deployment",
    METADATA,
    word("project", key=True),
    word("id", key=True),
    word("name"),
    body(),
    UniqueConstraint("project", "name"),
)
REVISION = Table(
    "revision",
    METADATA,
    word("project", key=True),
    word("deployment", key=True),
    number("number", key=True),
    body(),
    ForeignKeyConstraint(["project", "deployment"], ["deployment.project", "deployment.id"]),
)
ROLLOUT = Table(
    "rollout",
    METADATA,
    word("project", key=True),
    word("id", key=True),
    word("deployment"),
    word("state"),
    body(),
    Index(None, "project", "deployment", "id"),
)

MONITOR = Table(
    "monitor",
    METADATA,
    word("project", key=True),
    word("id", key=True),
    word("name"),
    body(),
    UniqueConstraint("project", "name"),
)
WINDOW = Table(
    "monitor_window",
    METADATA,
    word("project", key=True),
    word("monitor", key=True),
    instant("start", key=True),
    body(),
    ForeignKeyConstraint(["project", "monitor"], ["monitor.project", "monitor.id"]),
)
ALERT = Table(
    "alert",
    METADATA,
    word("project", key=True),
    word("id", key=True),
    word("monitor"),
    word("kind"),
    body(),
    Index(None, "project", "monitor", "id"),
)
LABEL_QUEUE = Table(
    "label_queue",
    METADATA,
    word("project", key=True),
    word("deployment", key=True),
    word("prediction", key=True),
    word("state"),
    body(),
    Index(None, "project", "deployment", "state"),
)

POLICY = Table("policy", METADATA, word("project", key=True), word("name", key=True), body())
DECISION = Table(
    "decision",
    METADATA,
    word("project", key=True),
    word("id", key=True),
    word("deployment"),
    word("action"),
    word("cause"),
    instant("at"),
    body(),
    Index(None, "project", "deployment", "id"),
)
Index(
    "uq_decision_retrain",
    DECISION.c.project,
    DECISION.c.cause,
    unique=True,
    sqlite_where=sa.text("action = 'retrain'"),
    postgresql_where=sa.text("action = 'retrain'"),
)
