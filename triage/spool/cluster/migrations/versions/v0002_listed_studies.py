"""The worklist: a row for each decided study, with what its orders, filters and searches need (docs/adr/0078).

The columns of the decision are written with it. Those of patient and images, and the reading, follow from objects and
logs: ``complete`` says that they do, and the sweep completes the rows that this migration makes.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

logger = logging.getLogger(__name__)

_PAGE = 1000
_C = 'COLLATE "C"'
_OF_STUDY = f"""tenant text {_C} NOT NULL, partition text {_C} NOT NULL, study_uid text {_C} NOT NULL,
  FOREIGN KEY (tenant, partition, study_uid) REFERENCES study ON DELETE CASCADE"""
_STATED = (
    "patient_name",
    "patient_id",
    "patient_id_issuer",
    "birth_date",
    "sex",
    "study_description",
    "view",
    "location",
    "referrer",
    "searchable",
    "numbers",
)
_TEXT_KEYS = (
    "name_key",
    "id_key",
    "sex_key",
    "description_key",
    "view_key",
    "accession_key",
    "sender_key",
    "location_key",
    "referrer_key",
)
_KEYS = (*_TEXT_KEYS, "tag_order", "urgency_order", "age_years", "acquired_at", "received_at")

# The orders of tags and urgencies are those of list_order.py, arrivals those of its microseconds.
_TABLE = f"""CREATE TABLE listed_study ({_OF_STUDY},
  silent boolean NOT NULL, priority text NOT NULL, tag text NOT NULL, urgency text NOT NULL,
  received_at float8 NOT NULL, tagged_at float8 NOT NULL, sequence bigint NOT NULL, revision text NOT NULL,
  accession_number text {_C} NOT NULL, calling_ae_title text {_C} NOT NULL,
  rank smallint NOT NULL GENERATED ALWAYS AS (CASE priority WHEN 'HIGH' THEN 1 WHEN 'MEDIUM' THEN 2 ELSE 3 END) STORED,
  arrival bigint NOT NULL GENERATED ALWAYS AS (CAST(round(received_at * 1000000) AS bigint)) STORED,
  tag_order float8 NOT NULL
    GENERATED ALWAYS AS (CASE tag WHEN 'ABNORMAL' THEN 0 WHEN 'NOT_ASSESSED' THEN 1 ELSE 2 END) STORED,
  urgency_order float8 NOT NULL GENERATED ALWAYS AS (CASE urgency
    WHEN 'critical' THEN 0 WHEN 'urgent' THEN 1 WHEN 'nonurgent' THEN 2 WHEN 'not_assessed' THEN 3 ELSE 4 END) STORED,
  read_revision text, read_at float8,
  unread boolean NOT NULL GENERATED ALWAYS AS (NOT silent AND read_revision IS DISTINCT FROM revision) STORED,
  {", ".join(f"{name} text {_C} NOT NULL DEFAULT ''" for name in _STATED)},
  {", ".join(f"{name} text {_C}" for name in _TEXT_KEYS)},
  age_years float8, acquired_at float8,
  views text[] {_C} NOT NULL DEFAULT '{{}}',
  patient_grams text[] {_C} NOT NULL DEFAULT '{{}}', number_grams text[] {_C} NOT NULL DEFAULT '{{}}',
  complete boolean NOT NULL DEFAULT false,
  PRIMARY KEY (tenant, partition, study_uid))"""
_PATIENTS = f"""CREATE TABLE study_patient ({_OF_STUDY}, digest text {_C} NOT NULL,
  PRIMARY KEY (tenant, partition, digest, study_uid))"""

_HERE = "ON listed_study (tenant, partition"
_INDEXES = (
    f"CREATE INDEX listed_by_rank {_HERE}, rank, arrival, study_uid) WHERE unread",
    f"CREATE INDEX listed_by_arrival {_HERE}, arrival, study_uid) INCLUDE (rank) WHERE unread",
    *(f"CREATE INDEX listed_by_{key} {_HERE}, {key}, arrival, study_uid) WHERE unread" for key in _KEYS),
    "CREATE INDEX listed_by_patient ON listed_study USING gin (patient_grams) WHERE unread",
    "CREATE INDEX listed_by_number ON listed_study USING gin (number_grams) WHERE unread",
    # A malformed object's number may be longer than an index takes.
    f"CREATE INDEX listed_by_accession_number {_HERE}, left(accession_number, 64))",
    f"CREATE INDEX listed_by_reading {_HERE}, read_at, study_uid) WHERE NOT unread AND NOT silent",
    f"CREATE INDEX listed_by_tagging {_HERE}, tagged_at) WHERE NOT silent",
    f"CREATE INDEX listed_incomplete {_HERE}, study_uid) WHERE NOT complete",
    "CREATE INDEX study_patient_of_study ON study_patient (tenant, partition, study_uid)",
)
# Equal announcements of one transaction are one. They name no study and no patient.
_TRIGGERS = (
    """CREATE FUNCTION announce_list() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE changed listed_study;
BEGIN
  IF TG_OP = 'DELETE' THEN changed = OLD; ELSE changed = NEW; END IF;
  PERFORM pg_notify('cxr_triage_list', changed.tenant || '/' || changed.partition);
  RETURN NULL;
END $$""",
    "CREATE TRIGGER list_changed AFTER INSERT OR UPDATE OR DELETE ON listed_study FOR EACH ROW "
    "EXECUTE FUNCTION announce_list()",
)
_DECIDED = f"""
SELECT tenant, partition, study_uid, decision FROM study WHERE decision IS NOT NULL
AND (tenant, partition, study_uid) > (%s, %s, %s) ORDER BY tenant, partition, study_uid LIMIT {_PAGE}
"""
_COLUMNS = (
    *("tenant", "partition", "study_uid", "silent", "priority", "tag", "urgency", "received_at", "tagged_at"),
    *("sequence", "revision", "accession_number", "calling_ae_title"),
)
_LIST = f"INSERT INTO listed_study ({', '.join(_COLUMNS)}) VALUES ({', '.join(['%s'] * len(_COLUMNS))})"


def upgrade() -> None:
    """Make the tables, and list what is decided."""
    for statement in (_TABLE, _PATIENTS):
        op.execute(statement)
    _list_decided(op.get_bind())
    for statement in (*_INDEXES, *_TRIGGERS):
        op.execute(statement)


def downgrade() -> None:
    """Remove the tables: they hold nothing that is not in objects, decisions and logs."""
    op.execute("DROP TABLE study_patient, listed_study")
    op.execute("DROP FUNCTION announce_list()")


def _list_decided(database: Any) -> None:
    last = ("", "", "")
    while found := database.exec_driver_sql(_DECIDED, last).all():
        rows = [row for each in found if (row := _row(*each)) is not None]
        if rows:
            database.exec_driver_sql(_LIST, rows)
        last = tuple(found[-1][:3])


def _row(tenant: str, partition: str, study_uid: str, decision: str) -> tuple[object, ...] | None:
    """Return the row of a decision; None for one that no release wrote, as a rebuild of the index left it out."""
    try:
        known = json.loads(decision)
        return (
            *(tenant, partition, study_uid, bool(known.get("silent", False))),
            *(str(known["priority"]), str(known["tag"]), str(known.get("urgency", "not_assessed"))),
            *(float(known["received_at"]), float(known["tagged_at"]), int(known.get("sequence", 0))),
            *(str(known["revision"]), str(known["accession_number"]).replace("\0", "")),
            str(known.get("calling_ae_title", "")).replace("\0", ""),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        logger.error("the decision of study %s cannot be read: it is not listed", study_uid)
        return None
