"""The first form."""

import sqlalchemy as sa
from alembic import op

from modelyard.adapters.sql.columns import BIG, WORD, Instant, JsonText

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables, those of the lower slices first."""
    _events()
    _tenancy()
    _jobs()
    _data()
    _training()
    _registry()
    _serving()
    _monitoring()
    _reactions()


def _events() -> None:
    op.create_table(
        "event",
        sa.Column("position", BIG, autoincrement=True, nullable=False),
        sa.Column("project", WORD, nullable=False),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("subject", WORD, nullable=False),
        sa.Column("actor", WORD, nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("data", JsonText(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_event")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_event_project_position"), "event", ["project", "position"], unique=False)
    op.create_index(op.f("ix_event_project_subject_position"), "event", ["project", "subject", "position"], unique=False)
    op.create_table(
        "event_cursor",
        sa.Column("project", WORD, nullable=False),
        sa.Column("consumer", WORD, nullable=False),
        sa.Column("position", BIG, nullable=False),
        sa.PrimaryKeyConstraint("project", "consumer", name=op.f("pk_event_cursor")),
    )


def _tenancy() -> None:
    op.create_table(
        "organisation",
        sa.Column("id", WORD, nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organisation")),
        sa.UniqueConstraint("name", name=op.f("uq_organisation_name")),
    )
    op.create_table(
        "project",
        sa.Column("id", WORD, nullable=False),
        sa.Column("organisation", WORD, nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["organisation"], ["organisation.id"], name=op.f("fk_project_organisation")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project")),
        sa.UniqueConstraint("organisation", "id", name=op.f("uq_project_organisation_id")),
        sa.UniqueConstraint("organisation", "name", name=op.f("uq_project_organisation_name")),
    )
    op.create_table(
        "member",
        sa.Column("id", WORD, nullable=False),
        sa.Column("organisation", WORD, nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("role", WORD, nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["organisation"], ["organisation.id"], name=op.f("fk_member_organisation")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_member")),
        sa.UniqueConstraint("organisation", "id", name=op.f("uq_member_organisation_id")),
        sa.UniqueConstraint("organisation", "name", name=op.f("uq_member_organisation_name")),
    )
    op.create_table(
        "membership",
        sa.Column("organisation", WORD, nullable=False),
        sa.Column("project", WORD, nullable=False),
        sa.Column("member", WORD, nullable=False),
        sa.Column("role", WORD, nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation", "member"], ["member.organisation", "member.id"], name=op.f("fk_membership_organisation_member")
        ),
        sa.ForeignKeyConstraint(
            ["organisation", "project"], ["project.organisation", "project.id"], name=op.f("fk_membership_organisation_project")
        ),
        sa.PrimaryKeyConstraint("project", "member", name=op.f("pk_membership")),
    )
    op.create_index(op.f("ix_membership_organisation_member"), "membership", ["organisation", "member"], unique=False)
    op.create_table(
        "token",
        sa.Column("id", WORD, nullable=False),
        sa.Column("organisation", WORD, nullable=False),
        sa.Column("member", WORD, nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("secret_hash", WORD, nullable=False),
        sa.Column("role", WORD, nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=True),
        sa.Column("revoked_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation", "member"], ["member.organisation", "member.id"], name=op.f("fk_token_organisation_member")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_token_secret_hash")),
    )
    op.create_index(op.f("ix_token_organisation_id"), "token", ["organisation", "id"], unique=False)


def _jobs() -> None:
    op.create_table(
        "job",
        sa.Column("project", WORD, nullable=False),
        sa.Column("id", WORD, nullable=False),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("state", WORD, nullable=False),
        sa.Column("cause", WORD, nullable=True),
        sa.Column("priority", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("attempts", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("max_attempts", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("worker", WORD, nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("started_at", Instant(), nullable=True),
        sa.Column("finished_at", Instant(), nullable=True),
        sa.Column("progress", JsonText(), nullable=False),
        sa.Column("result", JsonText(), nullable=True),
        sa.Column("problem", JsonText(), nullable=True),
        sa.Column("body", JsonText(), nullable=False),
        sa.Column("fence", BIG, nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("project", "id", name=op.f("pk_job")),
        sa.UniqueConstraint("project", "kind", "cause", name=op.f("uq_job_project_kind_cause")),
    )
    op.create_index(
        "ix_job_lease",
        "job",
        ["lease_until"],
        unique=False,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index(
        "ix_job_next",
        "job",
        [sa.literal_column("priority DESC"), "created_at", "id"],
        unique=False,
        sqlite_where=sa.text("state IN ('queued', 'running')"),
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
    op.create_table(
        "job_log",
        sa.Column("project", WORD, nullable=False),
        sa.Column("job", WORD, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("stream", WORD, nullable=False),
        sa.Column("text", WORD, nullable=False),
        sa.ForeignKeyConstraint(["project", "job"], ["job.project", "job.id"], name=op.f("fk_job_log_project_job")),
        sa.PrimaryKeyConstraint("project", "job", "number", name=op.f("pk_job_log")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "schedule",
        sa.Column("project", WORD, nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("next_at", Instant(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("body", JsonText(), nullable=False),
        sa.PrimaryKeyConstraint("project", "name", name=op.f("pk_schedule")),
    )


def _data() -> None:
    op.create_table(
        "dataset",
        sa.Column("project", WORD, nullable=False),
        sa.Column("id", WORD, nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("body", JsonText(), nullable=False),
        sa.PrimaryKeyConstraint("project", "id", name=op.f("pk_dataset")),
        sa.UniqueConstraint("project", "name", name=op.f("uq_dataset_project_name")),
    )
    op.create_table(
        "dataset_version",
        sa.Column("project", WORD, nullable=False),
        sa.Column("id", WORD, nullable=False),
        sa.Column("dataset", WORD, nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("body", JsonText(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "dataset"], ["dataset.project", "dataset.id"], name=op.f("fk_dataset_version_project_dataset")
        ),
        sa.PrimaryKeyConstraint("project", "id", name=op.f("pk_dataset_version")),
        sa.UniqueConstraint("project", "dataset", "number", name=op.f("uq_dataset_version_project_dataset_number")),
    )
    op.create_index(op.f("ix_dataset_version_project_name_id"), "dataset_version", ["project", "name", "id"], unique=False)


def _training() -> None:
    op.create_table(
        "run",
        sa.Column("project", WORD, nullable=False),
        sa.Column("id", WORD, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("experiment", WORD, nullable=False),
        sa.Column("state", WORD, nullable=False),
        sa.Column("study", WORD, nullable=True),
        sa.Column("body", JsonText(), nullable=False),
        sa.PrimaryKeyConstraint("project", "id", name=op.f("pk_run")),
        sa.UniqueConstraint("project", "number", name=op.f("uq_run_project_number")),
    )
    op.create_index(op.f("ix_run_project_experiment_number"), "run", ["project", "experiment", "number"], unique=False)
    op.create_index(op.f("ix_run_project_study_number"), "run", ["project", "study", "number"], unique=False)
    op.create_table(
        "metric_point",
        sa.Column("project", WORD, nullable=False),
        sa.Column("run", WORD, nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("step", BIG, autoincrement=False, nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["project", "run"], ["run.project", "run.id"], name=op.f("fk_metric_point_project_run")),
        sa.PrimaryKeyConstraint("project", "run", "name", "step", name=op.f("pk_metric_point")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "latest_metric",
        sa.Column("project", WORD, nullable=False),
        sa.Column("run", WORD, nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("step", BIG, nullable=True),
        sa.ForeignKeyConstraint(["project", "run"], ["run.project", "run.id"], name=op.f("fk_latest_metric_project_run")),
        sa.PrimaryKeyConstraint("project", "run", "name", name=op.f("pk_latest_metric")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_latest_metric_project_name_value_run"), "latest_metric", ["project", "name", "value", "run"], unique=False
    )
    op.create_table(
        "study",
        sa.Column("project", WORD, nullable=False),
        sa.Column("id", WORD, nullable=False),
        sa.Column("body", JsonText(), nullable=False),
        sa.PrimaryKeyConstraint("project", "id", name=op.f("pk_study")),
    )


def _registry() -> None:
    op.create_table(
        "model",
        sa.Column("project", WORD, nullable=False),
        sa.Column("id", WORD, nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("body", JsonText(), nullable=False),
        sa.PrimaryKeyConstraint("project", "id", name=op.f("pk_model")),
        sa.UniqueConstraint("project", "name", name=op.f("uq_model_project_name")),
    )
    op.create_table(
        "model_version",
        sa.Column("project", WORD, nullable=False),
        sa.Column("model", WORD, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("body", JsonText(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "model"], ["model.project", "model.name"], name=op.f("fk_model_version_project_model")
        ),
        sa.PrimaryKeyConstraint("project", "model", "number", name=op.f("pk_model_version")),
    )
    op.create_table(
        "alias",
        sa.Column("project", WORD, nullable=False),
        sa.Column("model", WORD, nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("body", JsonText(), nullable=False),
        sa.ForeignKeyConstraint(["project", "model"], ["model.project", "model.name"], name=op.f("fk_alias_project_model")),
        sa.PrimaryKeyConstraint("project", "model", "name", name=op.f("pk_alias")),
    )
    op.create_table(
        "approval",
        sa.Column("position", BIG, autoincrement=True, nullable=False),
        sa.Column("project", WORD, nullable=False),
        sa.Column("model", WORD, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("body", JsonText(), nullable=False),
        sa.ForeignKeyConstraint(["project", "model"], ["model.project", "model.name"], name=op.f("fk_approval_project_model")),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_approval")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_approval_project_model_version_position"),
        "approval",
        ["project", "model", "version", "position"],
        unique=False,
    )


def _serving() -> None:
    op.create_table(
        "deployment",
        sa.Column("project", WORD, nullable=False),
        sa.Column("id", WORD, nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("body", JsonText(), nullable=False),
        sa.PrimaryKeyConstraint("project", "id", name=op.f("pk_deployment")),
        sa.UniqueConstraint("project", "name", name=op.f("uq_deployment_project_name")),
    )
    op.create_table(
        "revision",
        sa.Column("project", WORD, nullable=False),
        sa.Column("deployment", WORD, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("body", JsonText(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "deployment"], ["deployment.project", "deployment.id"], name=op.f("fk_revision_project_deployment")
        ),
        sa.PrimaryKeyConstraint("project", "deployment", "number", name=op.f("pk_revision")),
    )
    op.create_table(
        "rollout",
        sa.Column("project", WORD, nullable=False),
        sa.Column("id", WORD, nullable=False),
        sa.Column("deployment", WORD, nullable=False),
        sa.Column("state", WORD, nullable=False),
        sa.Column("body", JsonText(), nullable=False),
        sa.PrimaryKeyConstraint("project", "id", name=op.f("pk_rollout")),
    )
    op.create_index(op.f("ix_rollout_project_deployment_id"), "rollout", ["project", "deployment", "id"], unique=False)


def _monitoring() -> None:
    op.create_table(
        "monitor",
        sa.Column("project", WORD, nullable=False),
        sa.Column("id", WORD, nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("body", JsonText(), nullable=False),
        sa.PrimaryKeyConstraint("project", "id", name=op.f("pk_monitor")),
        sa.UniqueConstraint("project", "name", name=op.f("uq_monitor_project_name")),
    )
    op.create_table(
        "monitor_window",
        sa.Column("project", WORD, nullable=False),
        sa.Column("monitor", WORD, nullable=False),
        sa.Column("start", Instant(), nullable=False),
        sa.Column("body", JsonText(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "monitor"], ["monitor.project", "monitor.id"], name=op.f("fk_monitor_window_project_monitor")
        ),
        sa.PrimaryKeyConstraint("project", "monitor", "start", name=op.f("pk_monitor_window")),
    )
    op.create_table(
        "alert",
        sa.Column("project", WORD, nullable=False),
        sa.Column("id", WORD, nullable=False),
        sa.Column("monitor", WORD, nullable=False),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("body", JsonText(), nullable=False),
        sa.PrimaryKeyConstraint("project", "id", name=op.f("pk_alert")),
    )
    op.create_index(op.f("ix_alert_project_monitor_id"), "alert", ["project", "monitor", "id"], unique=False)


def _reactions() -> None:
    op.create_table(
        "policy",
        sa.Column("project", WORD, nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("body", JsonText(), nullable=False),
        sa.PrimaryKeyConstraint("project", "name", name=op.f("pk_policy")),
    )
    op.create_table(
        "decision",
        sa.Column("project", WORD, nullable=False),
        sa.Column("id", WORD, nullable=False),
        sa.Column("deployment", WORD, nullable=False),
        sa.Column("action", WORD, nullable=False),
        sa.Column("cause", WORD, nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("body", JsonText(), nullable=False),
        sa.PrimaryKeyConstraint("project", "id", name=op.f("pk_decision")),
    )
    op.create_index(op.f("ix_decision_project_deployment_id"), "decision", ["project", "deployment", "id"], unique=False)
    op.create_index(
        "uq_decision_retrain",
        "decision",
        ["project", "cause"],
        unique=True,
        sqlite_where=sa.text("action = 'retrain'"),
        postgresql_where=sa.text("action = 'retrain'"),
    )
