"""The process that holds a lease: who leads is told to people, and the sessions of one that stands still are ended."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the holder: the name of its sessions at the server. Empty for a lease of an earlier release."""
    op.execute("ALTER TABLE lease ADD COLUMN holder text NOT NULL DEFAULT ''")


def downgrade() -> None:
    """Raise NotImplementedError: an earlier release refuses a schema of a later one, and none goes back."""
    raise NotImplementedError("a schema goes forward alone")
