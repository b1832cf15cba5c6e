"""Predictions whose truth is asked of people."""

import sqlalchemy as sa
from alembic import op

from modelyard.adapters.sql.columns import WORD, JsonText

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table; nobody was asked yet."""
    op.create_table(
        "label_queue",
        sa.Column("project", WORD, primary_key=True),
        sa.Column("deployment", WORD, primary_key=True),
        sa.Column("prediction", WORD, primary_key=True),
        sa.Column("state", WORD, nullable=False),
        sa.Column("body", JsonText(), nullable=False),
    )
    op.create_index("ix_label_queue_project_deployment_state", "label_queue", ["project", "deployment", "state"])
