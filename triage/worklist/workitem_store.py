"""The workitem of each study: built from its objects, with the state that other systems set in ``workitem.json``."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from pydicom.dataset import Dataset

from triage.decision.records import decision_from
from triage.dicom.uid import uid_of
from triage.errors import TriageError
from triage.spool.recall_file import corrections_of
from triage.spool.store import Store
from triage.spool.study import GIVEN_UP_AFTER_S, Study, read_study_of_objects
from triage.worklist import workitem_state
from triage.worklist.workitem import UPS_PUSH, date_time, reference, workitem
from triage.worklist.workitem_state import Step, WorkitemState

_ENTRY = "workitem.json"
_AGAIN_S = 30.0  # a part of a store that is silent costs its timeout each time


def workitem_uid(study_instance_uid: str, generation: int) -> str:
    """Return the UID of a study's first, second, ... workitem."""
    return uid_of("workitem", study_instance_uid, str(generation))


def read_state(spool: Store, study_instance_uid: str) -> WorkitemState:
    """Return the state of the study's workitem that other systems set."""
    try:
        content = spool.study_entries(study_instance_uid).get(_ENTRY)
    except FileNotFoundError:
        return WorkitemState()
    return WorkitemState.from_record(json.loads(content))


class UnreadWorkitemError(TriageError):
    """The images of a study cannot be read now, so that its workitem would name no patient: ask again."""

    def __init__(self, study_instance_uid: str) -> None:
        super().__init__(f"the images of study {study_instance_uid} cannot be read now: ask again in a minute")


class Workitems:
    """The workitems of a spool. ``low``: use LOW for that priority; see ``workitem``."""

    def __init__(self, spool: Store, worklist_label: str, low: bool, now: Callable[[], float] = time.time) -> None:
        self._spool = spool
        self._label = worklist_label
        self._low = low
        self._now = now
        self._by_uid: dict[str, tuple[str, int]] = {}
        self._unread: dict[str, tuple[float, float]] = {}  # since when a study could not be read, and when last
        self._lock = threading.Lock()

    def find(self, uid: str) -> tuple[str, int] | None:
        """Return the study and generation of a workitem; None if there is none of that UID.

        UIDs are digests of the study's. An unknown one costs a listing of all studies.
        """
        with self._lock:
            if uid not in self._by_uid:
                self._by_uid = {
                    workitem_uid(study, number): (study, number)
                    for study in self._spool.study_uids()
                    for number in range(1, self._generation(study) + 1)
                }
            return self._by_uid.get(uid)

    def current(self, study_instance_uid: str) -> Dataset | None:
        """Return the study's workitem; None before its first decision. Raises as ``get``."""
        return self._read(study_instance_uid, None)

    def get(self, uid: str) -> Dataset | None:
        """Return the workitem with this UID; None if there is none.

        Raises OSError while the store gives no objects, and UnreadWorkitemError for a study whose images it does not
        give; of one that could not be read for a quarter of an hour the workitem names no patient.
        """
        found = self.find(uid)
        return None if found is None else self._read(*found)

    def change(self, uid: str, step: Step) -> tuple[WorkitemState, WorkitemState] | None:
        """Change a workitem durably by ``step``, and return its states before and after; None if there is none.

        Raises RefusedError and OSError.
        """
        found = self.find(uid)
        return None if found is None else self._change(*found, step)

    def change_newest(self, study_instance_uid: str, step: Step) -> tuple[WorkitemState, WorkitemState] | None:
        """Change a study's workitem as ``change`` does; ``step`` may return its ``successor``."""
        return self._change(study_instance_uid, None, step)

    def _change(self, study: str, number: int | None, step: Step) -> tuple[WorkitemState, WorkitemState] | None:
        if self._spool.decision(study) is None:  # before its lock creates a folder
            return None
        with self._spool.study_lock(study):
            record = self._spool.decision(study)
            if record is None or record.get("silent"):  # retention removed it meanwhile, or it is silent
                return None
            raised = workitem_state.raise_level(decision_from(record))
            newest = workitem_state.current(read_state(self._spool, study), raised)
            before = newest.of_generation(number or newest.generation)
            after = step(before, raised)
            if after is not before:
                # An earlier workitem is final, and a final one never changes: this is the newest.
                kept = after if after.generation > newest.generation else replace(after, past=newest.past)
                self._spool.study_entries(study).put(_ENTRY, json.dumps(kept.to_record()))
        return before, after

    def _generation(self, study: str) -> int:
        state = read_state(self._spool, study)
        if state.state not in workitem_state.FINAL:
            return state.generation
        record = self._spool.decision(study)
        raised = 0 if record is None else workitem_state.raise_level(decision_from(record))
        return workitem_state.current(state, raised).generation

    def _read(self, study_instance_uid: str, generation: int | None) -> Dataset | None:
        since, last = self._unread.get(study_instance_uid, (math.inf, -math.inf))
        if self._now() - since < GIVEN_UP_AFTER_S and 0 <= self._now() - last < _AGAIN_S:
            raise UnreadWorkitemError(study_instance_uid)
        known = read_study_of_objects(self._spool, study_instance_uid)
        if known is None or not known[1] or known[0].silent:
            return None
        self._refuse_unread(study_instance_uid, any(image.unread for image in known[1]))
        acts = corrections_of(self._spool, study_instance_uid)[-1:]
        study = Study(*known, now=self._now(), correction=acts[0] if acts else None)
        raised = workitem_state.raise_level(study.decision)
        newest = workitem_state.current(read_state(self._spool, study_instance_uid), raised)
        return self._build(study, newest.of_generation(generation or newest.generation))

    def _refuse_unread(self, study_instance_uid: str, unread: bool) -> None:
        """Raise UnreadWorkitemError for a study whose images cannot be read, in the first quarter of an hour."""
        if not unread:
            self._unread.pop(study_instance_uid, None)
            return
        now = self._now()
        since = min(self._unread.get(study_instance_uid, (now, now))[0], now)
        self._unread[study_instance_uid] = (since, now)
        if now - since < GIVEN_UP_AFTER_S:
            raise UnreadWorkitemError(study_instance_uid)

    def _build(self, study: Study, state: WorkitemState) -> Dataset:
        decision = study.decision
        made = workitem(study, self._label, low=self._low)
        made.update(Dataset.from_json(state.attributes))
        made.SOPClassUID = UPS_PUSH
        made.SOPInstanceUID = workitem_uid(decision.study_instance_uid, state.generation)
        if state.generation > 1:
            replaced = workitem_uid(decision.study_instance_uid, state.generation - 1)
            made.ReplacedProcedureStepSequence = [reference(UPS_PUSH, replaced)]
        made.ProcedureStepState = state.state
        made.ScheduledProcedureStepModificationDateTime = date_time(max(decision.tagged_at, state.changed_at))
        del made.TransactionUID  # its owner's secret (PS3.4 Table CC.2.5-3)
        return made
