"""Releases that come after this one: its migrations, and one more that a test made."""

from __future__ import annotations

import shutil
from pathlib import Path

from triage.spool.cluster import migrations
from triage.spool.cluster.address import DatabaseAddress
from triage.spool.cluster.schema import Steps, upgrade

LATER = "9001"
"""The schema of the later release."""

_OURS = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'triage_schema' ORDER BY 1"
_STEP = '''"""A step of a later release."""
from alembic import op

revision = "{revision}"
down_revision = "{newest}"
oldest = "{oldest}"
branch_labels = None
depends_on = None


def upgrade():
{body}
'''
# Columns that a program of before does not name, in every table; and what else a step may add.
_WIDER = f'''    for (table,) in op.get_bind().exec_driver_sql("{_OURS}").all():
        op.execute(f"ALTER TABLE {{table}} ADD COLUMN later_text text")
        op.execute(f"ALTER TABLE {{table}} ADD COLUMN later_number bigint NOT NULL DEFAULT 7")
        op.execute(f"CREATE INDEX later_on_{{table}} ON {{table}} (later_number)")
    op.execute("CREATE TABLE later_table (number bigint PRIMARY KEY, tenant text)")'''
_NARROWER = """    op.execute("ALTER TABLE lease RENAME COLUMN holder TO held_by")"""


def widening(folder: Path) -> Path:
    """Make a folder of migrations whose last one adds to every table; programs of this release may go on."""
    return _with_step(folder, Steps().newest, _WIDER)


def narrowing(folder: Path) -> Path:
    """Make a folder of migrations whose last one takes a column away; no program of this release may go on."""
    return _with_step(folder, LATER, _NARROWER)


def of_later_release(address: DatabaseAddress, folder: Path) -> None:
    """Bring a database to the schema of the later release whose migrations are in ``folder``."""
    upgrade(address, Steps(folder))


def _with_step(folder: Path, oldest: str, body: str) -> Path:
    shutil.copytree(Path(migrations.__path__[0]), folder, ignore=shutil.ignore_patterns("__pycache__"))
    step = _STEP.format(revision=LATER, newest=Steps().newest, oldest=oldest, body=body)
    (folder / "versions" / f"v{LATER}_later.py").write_text(step)
    return folder
