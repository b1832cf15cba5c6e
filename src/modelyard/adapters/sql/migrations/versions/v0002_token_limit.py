"""Tokens may have a limit."""

import sqlalchemy as sa
from alembic import op

from modelyard.adapters.sql.columns import JsonText

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column; tokens that are there have none."""
    op.add_column("token", sa.Column("limit", JsonText(), nullable=True))
