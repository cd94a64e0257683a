"""Findings on objects and decisions on studies, as rows."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

from triage.decision.records import Record
from triage.dicom.uid import valid_uid
from triage.spool.cluster.list_rows import LIST, columns_of
from triage.spool.cluster.missing import missing
from triage.spool.cluster.rows import Rows
from triage.spool.cluster.study_groups import group_of
from triage.spool.instance import ReceivedInstance

logger = logging.getLogger(__name__)

_OF = "tenant = :tenant AND partition = :partition AND study_uid = :study"
MAKE_STUDY = """
INSERT INTO study (tenant, partition, study_uid, study_group) VALUES (:tenant, :partition, :study, :study_group)
ON CONFLICT DO NOTHING
"""
_ASSESS = """
INSERT INTO assessment (tenant, partition, study_uid, sop_uid, digest, content)
VALUES (:tenant, :partition, :study, :sop, :digest, :content)
ON CONFLICT (tenant, partition, study_uid, sop_uid, digest)
DO UPDATE SET content = EXCLUDED.content, written = clock_timestamp()
"""
_ASSESSMENTS = f"SELECT content FROM assessment WHERE {_OF} ORDER BY sop_uid, digest"
_DECIDE = f"""
UPDATE study SET decision = :content, decided = clock_timestamp(), touched = clock_timestamp() WHERE {_OF}
"""
_TELL = "INSERT INTO history (tenant, partition, study_uid, content) VALUES (:tenant, :partition, :study, :content)"
_DECISION = f"SELECT decision, CAST(extract(epoch FROM decided) AS float8) FROM study WHERE {_OF}"
_HISTORY = f"SELECT content FROM history WHERE {_OF} ORDER BY number"
_DECISIONS = """
SELECT study_uid, decision FROM study WHERE tenant = :tenant AND partition = :partition AND decision IS NOT NULL
AND study_uid > :after ORDER BY study_uid LIMIT CAST(:page AS int)
"""


class ResultRows(Rows):
    """Assessments, decisions and their history; see ``Results`` in store.py."""

    def write_assessment(self, instance: ReceivedInstance, assessment: Record) -> None:
        """Write the assessment of one object, replacing an earlier one."""
        with self._database.transaction():
            self._make_study(instance.study_instance_uid)
            self._write(
                _ASSESS,
                study=instance.study_instance_uid,
                sop=instance.sop_instance_uid,
                digest=instance.content_digest,
                content=json.dumps(assessment),
            )

    def assessments(self, study_instance_uid: str) -> list[Record]:
        """Return all assessments of a study, ordered by SOP Instance UID and content; empty for an unknown study."""
        return [_record(content) for (content,) in self._read(_ASSESSMENTS, study=valid_uid(study_instance_uid))]

    def write_decision(self, study_instance_uid: str, decision: Record) -> None:
        """Make ``decision`` the current one, append it to the history, and list it: all or nothing. Hold its lock."""
        uid, content = valid_uid(study_instance_uid), json.dumps(decision)
        with self._database.transaction():
            self._make_study(uid)
            self._write(_TELL, study=uid, content=content)
            self._write(_DECIDE, study=uid, content=content)
            if (columns := columns_of(decision)) is not None:
                self._write(LIST, study=uid, **columns)

    def decision(self, study_instance_uid: str) -> Record | None:
        """Return the study's current decision; None before the first."""
        found = self._read(_DECISION, study=valid_uid(study_instance_uid))
        return _record(found[0][0]) if found and found[0][0] is not None else None

    def decided_at(self, study_instance_uid: str) -> float:
        """Return when the current decision was written, by the database's clock. Raises FileNotFoundError."""
        found = self._read(_DECISION, study=valid_uid(study_instance_uid))
        if not found or found[0][1] is None:
            raise missing("the study has no decision")
        return float(str(found[0][1]))

    def history(self, study_instance_uid: str) -> list[Record]:
        """Return every decision of the study, oldest first."""
        return [_record(content) for (content,) in self._read(_HISTORY, study=valid_uid(study_instance_uid))]

    def decisions(self) -> Iterator[Record]:
        """Yield the current decision of every study. Reads all: for a rebuild."""
        for _, content in self._pages(_DECISIONS, lambda row: {"after": str(row[0])}, after=""):
            yield _record(content)

    def _make_study(self, study_instance_uid: str) -> None:
        uid = valid_uid(study_instance_uid)
        self._write(MAKE_STUDY, study=uid, study_group=group_of(uid))


def _record(content: object) -> Record:
    record: Record = json.loads(str(content))
    return record
