"""Locks by name, for lakes in stores that do not keep writers apart."""

import sqlalchemy as sa
from alembic import op

from modelyard.adapters.sql.columns import WORD

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the table; nobody holds a lock."""
    op.create_table(
        "named_lock",
        sa.Column("name", WORD, nullable=False),
        sa.Column("owner", WORD, nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_named_lock")),
    )
