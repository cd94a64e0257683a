"""A site with a worklist, on either store: studies are received, decided and listed as the worker does it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from pydicom.uid import generate_uid

from tests.support.builders import an_assessment
from tests.support.studies import a_radiograph
from triage.decision.decide import decide
from triage.decision.records import assessment_from, to_record
from triage.decision.types import PriorityPolicy, Tag, TriageDecision
from triage.dicom.dx_image import part10
from triage.dicom.identity import patient_marks
from triage.dicom.part10 import data_set_in
from triage.spool.instance import ReceivedInstance
from triage.spool.store import Store
from triage.worklist.carried_reading import put_with_reading
from triage.worklist.opening import query_of
from triage.worklist.page import Page
from triage.worklist.query import ListPage, ListRequest, WorklistQuery
from triage.worklist.reader_acts import Act, Marking, Via, mark
from triage.worklist.worklist import Worklist


@dataclass(frozen=True)
class ListSite:
    """A store and its worklist."""

    store: Store
    worklist: Worklist

    def query(self, waiting_cap_s: float = 0.0) -> WorklistQuery:
        """The query of a web process of its own."""
        return query_of(self.worklist, self.store, waiting_cap_s)

    def study(self, *, uid: str = "", attributes: dict[str, Any] | None = None, **found: Any) -> str:
        """Receive a study of one frontal with its patient, decide and list it; its UID. ``found``: the assessment's."""
        uid = uid or str(generate_uid())
        self.image(uid, attributes, **found)
        self.decide(uid)
        return uid

    def image(self, uid: str, attributes: dict[str, Any] | None = None, **found: Any) -> None:
        """Receive an object of a study and write what was found on it."""
        with warnings.catch_warnings():  # a sender may write what pydicom warns of
            warnings.simplefilter("ignore")
            dataset = a_radiograph(uid, **(attributes or {}))
            content = part10(dataset)
        instance = ReceivedInstance(uid, str(dataset.SOPInstanceUID), sha256(data_set_in(content)).hexdigest())
        upload = self.store.begin_upload()
        try:
            upload.write(memoryview(content))
            self.store.keep(upload, instance)
        finally:
            upload.discard()
        tag = found.pop("tag", Tag.NORMAL)
        known = {
            "study_instance_uid": uid,
            "series_instance_uid": str(dataset.SeriesInstanceUID),
            "sop_instance_uid": instance.sop_instance_uid,
            "sop_class_uid": str(dataset.SOPClassUID),
            "content_digest": instance.content_digest,
            "accession_number": str(dataset.AccessionNumber),
            "received_at": time.time(),
            "assessed_at": time.time(),
            "patient": patient_marks(dataset),
            "tag": tag,
            "probability": {Tag.ABNORMAL: 0.91, Tag.NORMAL: 0.08, Tag.NOT_ASSESSED: None}[tag],
            "age_years": 50.0,
        }
        assessment = an_assessment(**{**known, **found})
        with self.store.batch() as batch:
            with self.store.study_lock(uid):
                self.store.write_assessment(instance, to_record(assessment))
            batch.settle()
            batch.file(instance)

    def decide(self, uid: str, **changes: Any) -> TriageDecision:
        """Decide a study as it is now, and list it; ``changes`` are the decision's."""
        listed = self.worklist.deciding([uid])
        with self.store.batch() as batch:
            with self.store.study_lock(uid):
                images = [assessment_from(each) for each in self.store.assessments(uid)]
                sequence = len(self.store.history(uid)) + 1
                decided = decide(images, PriorityPolicy(), time.time())
                decision = replace(decided, **{"sequence": sequence, **changes})
                self.store.write_decision(uid, to_record(decision))
                listed(uid)
            batch.settle()
            put_with_reading(self.store, self.worklist, [decision])
        return decision

    def read(self, uid: str, at: float | None = None, who: str = "a") -> None:
        """Mark a study as read."""
        mark(self.store, self.worklist, uid, Marking(Act.READ, at or time.time(), who, Via.PAGE))

    def put_back(self, uid: str) -> None:
        """Put a study back on the list."""
        mark(self.store, self.worklist, uid, Marking(Act.UNREAD, time.time(), "a", Via.PAGE))


def uids(page: ListPage | Page) -> list[str]:
    """The studies of a page."""
    if isinstance(page, Page):
        return [each.study_instance_uid for each in page.entries]
    return [each.decision.study_instance_uid for each in page.studies]


def pages(query: WorklistQuery, request: ListRequest, now: float) -> Iterator[list[str]]:
    """The studies of all pages of a request, page by page."""
    cursor = None
    while True:
        page = query.page(replace(request, cursor=cursor), now)
        assert len(page.studies) <= request.limit
        yield uids(page)
        cursor = page.next_cursor
        if cursor is None:
            return
