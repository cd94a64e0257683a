"""The SHA-256 of the bytes under each key, and keys in the order in which a bucket lists them: that of their bytes."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # NULL: written by a program that did not know it.
    "ALTER TABLE object ADD COLUMN sha256 bytea CHECK (length(sha256) = 32)",
    "ALTER TABLE entry ADD COLUMN sha256 bytea CHECK (length(sha256) = 32)",
    'ALTER TABLE object ALTER COLUMN key TYPE text COLLATE "C"',
    'ALTER TABLE bucket_key ALTER COLUMN key TYPE text COLLATE "C"',
    # A column that a trigger names keeps its type: entries with a key are few, and have an index of their own.
    'CREATE INDEX entry_by_key ON entry (key COLLATE "C") WHERE key IS NOT NULL',
)


def upgrade() -> None:
    """Add the columns and the orders."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Raise NotImplementedError: a release that does not know the columns can use the tables with them."""
    raise NotImplementedError("the columns are of use to later releases, and in the way of none")
