"""The earliest schema whose programs may use the tables, next to the schema itself: they hold to it from here on."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
oldest = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, which is filled with ``oldest`` of the last step that was applied."""
    op.execute("ALTER TABLE triage_schema ADD COLUMN oldest text")


def downgrade() -> None:
    """Raise NotImplementedError: an earlier release uses the tables as they are."""
    raise NotImplementedError("a schema goes forward alone")
