"""Pipelines are saved under a name."""

import sqlalchemy as sa
from alembic import op

from modelyard.adapters.sql.columns import WORD, JsonText

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "pipeline_version",
        sa.Column("project", WORD, nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("body", JsonText(), nullable=False),
        sa.PrimaryKeyConstraint("project", "name", "number", name=op.f("pk_pipeline_version")),
    )
