"""The timeline on which an upload began, and an index for the removal of a study.

A database that was restored, or promoted, goes on with another timeline.
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0005"
branch_labels = None
depends_on = None

# The first eight digits of a file of the log are its timeline. A program of before that writes into the table does
# not name the column.
_TIMELINE = "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
_STATEMENTS = (
    f"ALTER TABLE bucket_key ADD COLUMN timeline text NOT NULL DEFAULT {_TIMELINE}",
    # A cascade asks for the study alone: no index on an expression serves it, and none with another condition.
    "CREATE INDEX entry_of_study ON entry (tenant, partition, study_uid) WHERE study_uid IS NOT NULL",
    "CREATE INDEX record_of_study ON record (tenant, partition, study_uid) WHERE study_uid IS NOT NULL",
)


def upgrade() -> None:
    """Add them; the timeline of uploads that go on now is the present one."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Raise NotImplementedError: an earlier release refuses a schema of a later one, and none goes back."""
    raise NotImplementedError("a schema goes forward alone")
