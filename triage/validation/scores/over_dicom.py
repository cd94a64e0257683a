"""Scores a cohort by sending it to a running service's DICOM port, and compares with what the files alone give."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.dicom.requestor import RemoteAE
from triage.errors import StartError
from triage.radiograph.decode import is_picture
from triage.radiograph.types import View
from triage.sender.send import SentFile, send, sop_instance_uid
from triage.spool.spool import Spool
from triage.spool.validation_partition import remove_old_studies
from triage.validation.cohort.members import Member
from triage.validation.scores.predictions import Prediction, Scorer, Scoring, prediction

_AT_ONCE = 64
_PATIENCE_S = 120.0
_LOCK = "validation-command"
_OF_THE_OBJECT = (0xA9, 0xC0)
"""First bytes of the statuses that blame the object: its data set contradicts its command, or cannot be understood."""


class ServiceError(StartError):
    """A service that does not take, score or give back the cohort; the message says what to look at."""


@dataclass(frozen=True)
class TargetService:
    """Where to send, and the partition in which the service keeps what it scored. ``patience_s`` without any result."""

    destination: RemoteAE
    partition: Spool
    patience_s: float = _PATIENCE_S


@contextmanager
def alone(service: TargetService) -> Iterator[None]:
    """Have the partition for one command, empty before and after. Raises ServiceError if another one runs."""
    try:
        with service.partition.workers.hold(_LOCK):
            remove_old_studies(service.partition, math.inf)
            try:
                yield
            finally:
                remove_old_studies(service.partition, math.inf)
    except BlockingIOError as error:
        raise ServiceError("another triage validate --dicom is running on this service") from error


def check_sendable(members: Sequence[Member]) -> None:
    """ServiceError for what could not be told apart, or would not be assessed, whatever the model.

    That is two DICOM files with one SOP Instance UID and different bytes, and pictures whose row does not say what a
    DICOM object has to: PA or AP, and the age.
    """
    for member in members:
        row = member.row
        if _is_a_picture(member) and (row.view not in ("PA", "AP") or row.age is None):
            raise ServiceError(
                f"line {row.line}: a picture has no tags, and its row does not say view (PA or AP) and age: the "
                "service would not assess it, whatever the model; validate such a cohort without --dicom"
            )
    _check_uids(members)


def through(service: TargetService) -> Scorer:
    """A scorer that sends the images and reads what the service made of them."""

    def scorer(members: Sequence[Member], scoring: Scoring) -> Iterator[Prediction]:
        for start in range(0, len(members), _AT_ONCE):
            yield from _chunk(service, members[start : start + _AT_ONCE], scoring)

    return scorer


def disagreements(first: Sequence[Prediction], second: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Images on which two ways differ in anything that is said of them: exactly, for a score is always the same."""
    return [
        {"image": one.image, "ways": [_told(one), _told(two)]}
        for one, two in zip(first, second, strict=True)
        if _told(one) != _told(two)
    ]


def _chunk(service: TargetService, members: Sequence[Member], scoring: Scoring) -> Iterator[Prediction]:
    sent = _sent(service.destination, members)
    for member in members:
        outcome = sent[member.name]
        record = _unreadable(member) if outcome.error else _assessed(service, outcome)
        yield _prediction(member, record, outcome, scoring)
    for uid in {outcome.study_instance_uid for outcome in sent.values() if not outcome.error}:
        _wait(service, lambda uid=uid: not _waits(service.partition, uid))  # type: ignore[misc]
        service.partition.remove_study(uid)


def _unreadable(member: Member) -> Mapping[str, Any]:
    """Of a file that cannot be sent, or that the listener does not take: what its row says stands."""
    known = {"view": member.row.view if _is_a_picture(member) else View.UNKNOWN, "age_years": member.row.age}
    return {"tag": Tag.NOT_ASSESSED, "probability": None, "reasons": [Reason.UNDECODABLE], **known}


def _is_a_picture(member: Member) -> bool:
    with member.row.image.open("rb") as file:
        return is_picture(file.read(132))


def _check_uids(members: Sequence[Member]) -> None:
    """The service's results are found by SOP Instance UID; files of the same bytes have the same result."""
    known: dict[str, Member] = {}
    for member in members:
        if _is_a_picture(member):  # its UID will be made of its bytes
            continue
        uid = sop_instance_uid(member.row.image)
        first = known.setdefault(uid, member) if uid else member
        if first.digest != member.digest:
            raise ServiceError(
                f"lines {first.row.line} and {member.row.line}: {first.name} and {member.name} have one SOP Instance "
                "UID and different bytes, so that nobody could say which of them a result is of: take one of them out, "
                "or validate without --dicom"
            )


def _sent(destination: RemoteAE, members: Sequence[Member]) -> dict[str, SentFile]:
    """What became of each, by name. Rows of the same view and age share an association."""

    def said(member: Member) -> tuple[str, int]:
        return member.row.view, -1 if member.row.age is None else int(member.row.age)

    found: dict[str, SentFile] = {}
    for (view, age), group in groupby(sorted(members, key=said), key=said):
        by_path = {member.row.image: member.name for member in group}
        for outcome in send(list(by_path), destination, view or None, None if age < 0 else age):
            _check_taken(outcome)
            found[by_path[outcome.path]] = outcome
    return found


def _check_taken(outcome: SentFile) -> None:
    """ServiceError unless the object was stored, or was refused for what it is: that ends no others' validation."""
    if not outcome.error or (outcome.status is not None and outcome.status >> 8 in _OF_THE_OBJECT):
        return
    if outcome.status is not None:
        raise ServiceError(f"the service does not take the cohort: {outcome.error}")
    if not outcome.reached:
        raise ServiceError(f"the cohort cannot be sent: {outcome.error}")


def _assessed(service: TargetService, outcome: SentFile) -> Mapping[str, Any]:
    found: Mapping[str, Any] = _wait(service, lambda: _assessment(service.partition, outcome))
    return found


def _assessment(partition: Spool, outcome: SentFile) -> Mapping[str, Any] | None:
    found = partition.assessments(outcome.study_instance_uid)
    return next((each for each in found if each["sop_instance_uid"] == outcome.sop_instance_uid), None)


def _waits(partition: Spool, study_instance_uid: str) -> bool:
    return any(instance.study_instance_uid == study_instance_uid for instance in partition.waiting())


def _wait(service: TargetService, look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + service.patience_s
    while not (found := look()):
        if time.monotonic() > deadline:
            raise ServiceError(
                "the service took the images and does not score them: does a worker run, with the same spool and "
                "listener.validation_ae_title as here?"
            )
        time.sleep(0.05)
    return found


def _prediction(member: Member, record: Mapping[str, Any], outcome: SentFile, scoring: Scoring) -> Prediction:
    digest, age = record.get("model_digest"), record.get("age_years")
    refusal = None
    if digest is not None and digest != scoring.card.model_sha256:
        if age is not None and scoring.card.covers_age(age):
            ours = f"{scoring.card.model_id} as it is in the folder given"
            raise ServiceError(f"the service scores such patients with {record['model_id']}, and not with {ours}")
        refusal = Reason.AGE_NOT_COVERED  # another model is for this patient
    known = not (outcome.error or _is_a_picture(member))  # a picture is of no study: that of its wrapping says nothing
    told = {"distance": None, **record, "study_instance_uid": outcome.study_instance_uid if known else ""}
    return prediction(member, scoring, told, view=str(record["view"]), age=age, refusal=refusal)


def _told(each: Prediction) -> dict[str, Any]:
    return {
        "tag": each.tag,
        "probability": each.probability,
        "distance": each.distance,
        "reasons": list(each.reasons),
        "view": each.view,
    }
