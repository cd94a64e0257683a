"""Predictions of a running service: the cohort is sent to its DICOM port, and its results are read from the spool."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, TypedDict, TypeVar

from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.dicom.requestor import RemoteAE
from triage.errors import StartError
from triage.radiograph.decode import is_picture
from triage.radiograph.types import View
from triage.sender.send import SentFile, send, sop_instance_uid
from triage.spool.store import Store
from triage.spool.validation_partition import remove_old_studies
from triage.validation.cohort.members import Member
from triage.validation.scores.predictions import CohortScorer, Prediction, Scoring, prediction

T = TypeVar("T")

_CHUNK = 64
_TIMEOUT_S = 120.0
_POLL_S = 0.05
_LOCK = "validation-command"
_OBJECT_REFUSED = (0xA9, 0xC0)
"""First bytes of the C-STORE statuses "data set does not match SOP Class" and "cannot understand" (PS3.4 B.2.3)."""


class ServiceError(StartError):
    """The service does not accept or score the cohort; the message says what to check."""


@dataclass(frozen=True)
class TargetService:
    """A running service: its DICOM port, the partition with its results, and the longest wait for a result."""

    destination: RemoteAE
    partition: Store
    timeout_s: float = _TIMEOUT_S


@contextmanager
def exclusive_partition(service: TargetService) -> Iterator[None]:
    """Lock the partition for one command, and empty it before and after. Raises ServiceError if another one runs."""
    refusal = ServiceError("another triage validate --dicom is running on this service")
    with service.partition.workers.hold_alone(_LOCK, refusal):
        remove_old_studies(service.partition, math.inf)
        try:
            yield
        finally:
            remove_old_studies(service.partition, math.inf)


def check_sendable(members: Sequence[Member]) -> None:
    """Check that the service can identify and assess every image, whatever the model.

    Raises:
        ServiceError: for two DICOM files with one SOP Instance UID and different bytes, and for a picture whose row
            lacks what a DICOM object needs: view PA or AP, and the age.
    """
    for member in members:
        row = member.row
        if _is_a_picture(member) and (row.view not in ("PA", "AP") or row.age is None):
            raise ServiceError(
                f"line {row.line}: a picture has no tags, and its row does not say view (PA or AP) and age: the "
                "service would not assess it, whatever the model; validate such a cohort without --dicom"
            )
    _check_uids(members)


def service_scorer(service: TargetService) -> CohortScorer:
    """Return a scorer that sends the images to the service and reads its results."""

    def scorer(members: Sequence[Member], scoring: Scoring) -> Iterator[Prediction]:
        for start in range(0, len(members), _CHUNK):
            yield from _score_chunk(service, members[start : start + _CHUNK], scoring)

    return scorer


class ImageResult(TypedDict):
    """The result of one image."""

    tag: str
    probability: float | None
    distance: float | None
    reasons: list[str]
    view: str


class Disagreement(TypedDict):
    """An image with two different results."""

    image: str
    ways: list[ImageResult]


def disagreements(first: Sequence[Prediction], second: Sequence[Prediction]) -> list[Disagreement]:
    """Return the images whose two results differ in anything, scores compared exactly."""
    return [
        {"image": one.image, "ways": [_result(one), _result(two)]}
        for one, two in zip(first, second, strict=True)
        if _result(one) != _result(two)
    ]


def _score_chunk(service: TargetService, members: Sequence[Member], scoring: Scoring) -> Iterator[Prediction]:
    sent = _send(service.destination, members)
    for member in members:
        file = sent[member.name]
        record = (
            _undecodable(member) if file.error else _wait_for(service, partial(_assessment, service.partition, file))
        )
        yield _prediction(member, record, file, scoring)
    for uid in {file.study_instance_uid for file in sent.values() if not file.error}:
        _wait_for(service, partial(_is_done, service.partition, uid))
        service.partition.remove_study(uid)


def _undecodable(member: Member) -> Mapping[str, Any]:
    """Return the record of a file that cannot be sent, or that the listener refuses, with view and age of its row."""
    known = {"view": member.row.view if _is_a_picture(member) else View.UNKNOWN, "age_years": member.row.age}
    return {"tag": Tag.NOT_ASSESSED, "probability": None, "reasons": [Reason.UNDECODABLE], **known}


def _is_a_picture(member: Member) -> bool:
    with member.row.image.open("rb") as file:
        return is_picture(file.read(132))


def _check_uids(members: Sequence[Member]) -> None:
    """Check that no two files with different bytes have one SOP Instance UID, by which results are found."""
    known: dict[str, Member] = {}
    for member in members:
        if _is_a_picture(member):  # its UID will be derived from its bytes
            continue
        uid = sop_instance_uid(member.row.image)
        first = known.setdefault(uid, member) if uid else member
        if first.digest != member.digest:
            raise ServiceError(
                f"lines {first.row.line} and {member.row.line}: {first.name} and {member.name} have one SOP Instance "
                "UID and different bytes, so that a result cannot be assigned to one of them: take one of them out, "
                "or validate without --dicom"
            )


def _send(destination: RemoteAE, members: Sequence[Member]) -> dict[str, SentFile]:
    """Send the images and return their status by name. Rows of the same view and age share an association."""

    def view_and_age(member: Member) -> tuple[str, int]:
        return member.row.view, -1 if member.row.age is None else int(member.row.age)

    found: dict[str, SentFile] = {}
    for (view, age), group in groupby(sorted(members, key=view_and_age), key=view_and_age):
        by_path = {member.row.image: member.name for member in group}
        for file in send(list(by_path), destination, view or None, None if age < 0 else age):
            _check_accepted(file)
            found[by_path[file.path]] = file
    return found


def _check_accepted(file: SentFile) -> None:
    """Raise ServiceError unless the object was stored, or refused for its own content, which ends no validation."""
    if not file.error or (file.status is not None and file.status >> 8 in _OBJECT_REFUSED):
        return
    if file.status is not None:
        raise ServiceError(f"the service does not take the cohort: {file.error}")
    if not file.reached:
        raise ServiceError(f"the cohort cannot be sent: {file.error}")


def _assessment(partition: Store, file: SentFile) -> Mapping[str, Any] | None:
    found = partition.assessments(file.study_instance_uid)
    return next((each for each in found if each["sop_instance_uid"] == file.sop_instance_uid), None)


def _is_done(partition: Store, study_instance_uid: str) -> bool:
    return all(instance.study_instance_uid != study_instance_uid for instance in partition.waiting())


def _wait_for(service: TargetService, poll: Callable[[], T | None]) -> T:
    """Return the first true value of ``poll``. Raises ServiceError after the service's timeout."""
    deadline = time.monotonic() + service.timeout_s
    while not (found := poll()):
        if time.monotonic() > deadline:
            raise ServiceError(
                "the service took the images and does not score them: does a worker run, with the same spool and "
                "listener.validation_ae_title as here?"
            )
        time.sleep(_POLL_S)
    return found


def _prediction(member: Member, record: Mapping[str, Any], file: SentFile, scoring: Scoring) -> Prediction:
    digest, age = record.get("model_digest"), record.get("age_years")
    refusal = None
    if digest is not None and digest != scoring.card.model_sha256:
        if age is not None and scoring.card.covers_age(age):
            ours = f"{scoring.card.model_id} as it is in the folder given"
            raise ServiceError(f"the service scores such patients with {record['model_id']}, and not with {ours}")
        refusal = Reason.AGE_NOT_COVERED  # another model is for this patient
    known = not (file.error or _is_a_picture(member))  # a picture belongs to no study: the UID of its wrapping is ours
    completed = {"distance": None, **record, "study_instance_uid": file.study_instance_uid if known else ""}
    return prediction(member, scoring, completed, view=str(record["view"]), age=age, refusal=refusal)


def _result(each: Prediction) -> ImageResult:
    return {
        "tag": each.tag,
        "probability": each.probability,
        "distance": each.distance,
        "reasons": list(each.reasons),
        "view": each.view,
    }
