"""The timeline on which an upload began: a database that was restored, or promoted, goes on with another one."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0005"
branch_labels = None
depends_on = None

# The first eight digits of a file of the log are its timeline. A program of before that writes into the table does
# not name the column.
_TIMELINE = "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"


def upgrade() -> None:
    """Add the timeline; that of uploads which go on now is the present one."""
    op.execute(f"ALTER TABLE bucket_key ADD COLUMN timeline text NOT NULL DEFAULT {_TIMELINE}")


def downgrade() -> None:
    """Raise NotImplementedError: an earlier release refuses a schema of a later one, and none goes back."""
    raise NotImplementedError("a schema goes forward alone")
