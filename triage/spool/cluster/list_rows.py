"""The row of the worklist that a decision writes, with it: what the list shows of it, and where (docs/adr/0078).

What it shows of patient and images, and the reading, is written by the worklist's room in the same transaction
(triage/worklist/table). A row that a decision wrote alone is not complete, and the sweep completes it.
"""

from __future__ import annotations

from triage.decision.records import Record, decision_from
from triage.spool.tables import Value, storable

_COLUMNS = (
    "silent",
    "priority",
    "tag",
    "urgency",
    "received_at",
    "tagged_at",
    "sequence",
    "revision",
    "accession_number",
    "calling_ae_title",
)
LIST = f"""
INSERT INTO listed_study (tenant, partition, study_uid, {", ".join(_COLUMNS)})
VALUES (:tenant, :partition, :study, CAST(:silent AS boolean), :priority, :tag, :urgency, CAST(:received_at AS float8),
  CAST(:tagged_at AS float8), CAST(:sequence AS bigint), :revision, :accession_number, :calling_ae_title)
ON CONFLICT (tenant, partition, study_uid)
DO UPDATE SET {", ".join(f"{name} = EXCLUDED.{name}" for name in _COLUMNS)}, complete = false
"""


def columns_of(record: Record) -> dict[str, Value] | None:
    """Return the values of a decision's columns; None for a record that no decision can have, which is not listed."""
    try:
        decision = decision_from(record)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return {
        "silent": decision.silent,
        "priority": str(decision.priority),
        "tag": str(decision.tag),
        "urgency": str(decision.urgency),
        "received_at": decision.received_at,
        "tagged_at": decision.tagged_at,
        "sequence": decision.sequence,
        "revision": storable(decision.revision),
        "accession_number": storable(decision.accession_number),
        "calling_ae_title": storable(decision.calling_ae_title),
    }
