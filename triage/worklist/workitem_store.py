"""The workitem of each study: built from the study's files, with what others made of it in ``workitem.json``."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from pydicom.dataset import Dataset

from triage.decision.records import decision_from
from triage.decision.types import Tag, TriageDecision
from triage.dicom.uid import uid_of
from triage.spool.spool import Spool
from triage.spool.study import Study, read_study
from triage.worklist import workitem_state
from triage.worklist.workitem import UPS_PUSH, date_time, workitem
from triage.worklist.workitem_state import WorkitemState

_FILE = "workitem.json"

Step = Callable[[WorkitemState, bool], WorkitemState]
"""From a workitem's state, and whether its study is raised, to the next state."""


def workitem_uid(study_instance_uid: str, generation: int) -> str:
    """The UID of a study's first, second, ... workitem."""
    return uid_of("workitem", study_instance_uid, str(generation))


def is_raised(decision: TriageDecision) -> bool:
    """Whether the study goes to the top of the list."""
    return decision.tag is Tag.ABNORMAL and not decision.prior


def read_state(spool: Spool, study_instance_uid: str) -> WorkitemState:
    """What others have made of the study's workitem."""
    try:
        content = (spool.study_folder(study_instance_uid) / _FILE).read_bytes()
    except FileNotFoundError:
        return WorkitemState()
    return WorkitemState.from_record(json.loads(content))


class Workitems:
    """The workitems of a spool. ``low``: say LOW where that is the priority."""

    def __init__(self, spool: Spool, worklist_label: str, low: bool, now: Callable[[], float] = time.time) -> None:
        self._spool = spool
        self._label = worklist_label
        self._low = low
        self._now = now
        self._places: dict[str, tuple[str, int]] = {}
        self._looking = threading.Lock()

    def find(self, uid: str) -> tuple[str, int] | None:
        """The study and generation of a workitem; None if there is none of that UID.

        UIDs are digests of the study's. A miss looks through the names of all studies.
        """
        with self._looking:
            if uid not in self._places:
                self._places = {
                    workitem_uid(study, number): (study, number)
                    for study in self._spool.study_uids()
                    for number in range(1, self._generation(study) + 1)
                }
            return self._places.get(uid)

    def current(self, study_instance_uid: str) -> Dataset | None:
        """The study's workitem; None before its first decision."""
        return self._read(study_instance_uid, None)

    def get(self, uid: str) -> Dataset | None:
        """A workitem."""
        place = self.find(uid)
        return None if place is None else self._read(*place)

    def change(self, uid: str, step: Step) -> tuple[WorkitemState, WorkitemState] | None:
        """Take a workitem a step further, durably: before and after. None if there is none. Raises RefusedError."""
        place = self.find(uid)
        if place is None or self._spool.decision(place[0]) is None:
            return None
        study, number = place
        with self._spool.study_lock(study):
            record = self._spool.decision(study)
            if record is None or record.get("silent"):  # retention removed it meanwhile, or it is nobody's to read
                return None
            raised = is_raised(decision_from(record))
            newest = workitem_state.current(read_state(self._spool, study), raised)
            before = newest.of_generation(number)
            after = step(before, raised)
            if after is not before:
                # An earlier workitem is final, and a final one never changes: this is the newest.
                kept = replace(after, past=newest.past)
                self._spool.write(self._spool.study_folder(study) / _FILE, json.dumps(kept.to_record()))
        return before, after

    def _generation(self, study: str) -> int:
        state = read_state(self._spool, study)
        if state.state not in workitem_state.FINAL:
            return state.generation
        record = self._spool.decision(study)
        return workitem_state.current(state, record is not None and is_raised(decision_from(record))).generation

    def _read(self, study_instance_uid: str, generation: int | None) -> Dataset | None:
        known = read_study(self._spool, study_instance_uid)
        if known is None or not known[1] or known[0].silent:
            return None
        study = Study(*known, now=self._now())
        newest = workitem_state.current(read_state(self._spool, study_instance_uid), is_raised(study.decision))
        return self._made(study, newest.of_generation(generation or newest.generation))

    def _made(self, study: Study, state: WorkitemState) -> Dataset:
        decision = study.decision
        made = workitem(study, self._label, low=self._low)
        made.update(Dataset.from_json(state.attributes))
        made.SOPClassUID = UPS_PUSH
        made.SOPInstanceUID = workitem_uid(decision.study_instance_uid, state.generation)
        made.ProcedureStepState = state.state
        made.ScheduledProcedureStepModificationDateTime = date_time(max(decision.tagged_at, state.changed_at))
        del made.TransactionUID  # its owner's secret (PS3.4 Table CC.2.5-3)
        return made
