"""Findings on objects and decisions on studies, as files in the studies' folders."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator

from triage.decision.records import Record
from triage.errors import cause
from triage.runtime.durable import private_opener
from triage.spool.files import SpoolFiles
from triage.spool.instance import ReceivedInstance

logger = logging.getLogger(__name__)

DECISION = "decision.json"
HISTORY = "history.jsonl"


class ResultFiles(SpoolFiles):
    """Assessments, decisions and their history in one spool; see ``Results`` in store.py."""

    def write_assessment(self, instance: ReceivedInstance, assessment: Record) -> None:
        """Write the assessment of one object, replacing an earlier one. Durable after ``sync``."""
        folder = self._make_study_folder(instance.study_instance_uid)
        self._write(folder / f"{instance.filed_name}.json", json.dumps(assessment, indent=1), durable=False)

    def assessments(self, study_instance_uid: str) -> list[Record]:
        """Return all assessments of a study, ordered by file name; empty for an unknown study."""
        folder = self.study_folder(study_instance_uid)
        found = (_object(path.read_bytes()) for path in sorted(folder.glob("*+*.json")))
        return [assessment for assessment in found if assessment is not None]

    def write_decision(self, study_instance_uid: str, decision: Record) -> None:
        """Write ``decision`` as the study's current one and append it to the history. Hold ``study_lock``.

        Durable after ``sync``.
        """
        folder = self._make_study_folder(study_instance_uid)
        # History first: a crash in between repeats a line at worst, and never loses one.
        with open(folder / HISTORY, "a", opener=private_opener) as history:
            # The line break comes first, so that a line that a crash cut does not spoil the next one.
            history.write("\n" + json.dumps(decision))
            if not self.file_system.syncs_whole:
                history.flush()
                os.fsync(history.fileno())
        self._write(folder / DECISION, json.dumps(decision, indent=1), durable=False)

    def decision(self, study_instance_uid: str) -> Record | None:
        """Return the study's current decision; None before the first."""
        try:
            content = (self.study_folder(study_instance_uid) / DECISION).read_bytes()
        except FileNotFoundError:
            return None
        return _object(content)

    def history(self, study_instance_uid: str) -> list[Record]:
        """Return every decision of the study, oldest first."""
        path = self.study_folder(study_instance_uid) / HISTORY
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]  # a crash may have cut a line

    def decisions(self) -> Iterator[Record]:
        """Yield the current decision of every study, in no particular order. Reads the whole spool: for a rebuild."""
        for path in self.studies.glob(f"*/*/{DECISION}"):
            try:
                decision = _object(path.read_bytes())
            except FileNotFoundError:  # retention removed the study meanwhile
                continue
            except OSError as error:  # it must not hide the others
                logger.error("a decision in the spool cannot be read (%s): %s", cause(error), path.parent.name)
                continue
            if decision is not None:
                yield decision

    def decided_at(self, study_instance_uid: str) -> float:
        """Return when the current decision was written, in POSIX seconds. Raises FileNotFoundError without one."""
        return (self.study_folder(study_instance_uid) / DECISION).stat().st_mtime


def _object(content: bytes) -> Record | None:
    """Return a JSON object; None for one that a power failure cut short, whose work is still in the inbox."""
    try:
        value: Record = json.loads(content)
    except ValueError:
        logger.warning("a record in the spool is cut short; its object is done again")
        return None
    return value
