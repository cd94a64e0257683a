"""Workitems for a foreign UPS manager: N-CREATE under UPS Push, changes by N-SET under UPS Pull (PS3.4 annex CC)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID
from pynetdicom.association import Association

from triage.channels import c_store_scu as dicom_store
from triage.channels.base import TEST, Built, DeliveryStatus, Send, SendResult
from triage.channels.patient_study import encoded
from triage.channels.ups.correction import (
    CANCELLATION,
    REQUEST_CANCEL,
    has_new_result,
    is_cancellation,
    is_renewal,
    mark_correction,
    mark_renewal,
    not_created,
)
from triage.decision.statement import told_findings
from triage.dicom.attribute_text import text_of
from triage.dicom.requestor import RemoteAE
from triage.dicom.uid import uid_of
from triage.errors import TriageError, UnreachableError, cause
from triage.spool.study import Study
from triage.worklist.workitem import UPS_PUSH, left_out, priority_of, reference, workitem

ENCODER_VERSION = "2"
TEST_LABEL = "TEST"
UPS_PULL = "1.2.840.10008.5.1.4.34.6.3"
_CHANGED = (  # what we tell of a workitem that is there; all may be set while it is SCHEDULED (Table CC.2.5-3)
    "SpecificCharacterSet",
    "ScheduledProcedureStepPriority",
    "CommentsOnTheScheduledProcedureStep",
    "InputReadinessState",
    "InputInformationSequence",
)
_NOT_CREATED = ("SOPClassUID", "SOPInstanceUID", *CANCELLATION)
_COMPARED = ("ScheduledProcedureStepPriority", "StudyInstanceUID", "PatientID")
_SHOWN = (0x0000, 0x0001, 0x0107)  # without warning, and with those of N-GET: what it has of it is there
_CHANGED_THERE = "changed"  # in the details of attempts, which are stored: see has_changed
_DUPLICATE = 0x0111
_UNKNOWN = (0xC307, 0x0112)
_FINAL = 0xC300
_OWNED = 0xC301
_ENDED = (_FINAL, 0xC311)
_PERFORMER = (0xC312, 0xC313, 0xC314)  # a reader has it, and is not reached or goes on
_LATER = (0x0110, 0x0213, 0xA700)  # processing failure, resource limitation, out of resources
_MEANINGS = {  # PS3.7 annex C and the tables of status values in PS3.4 annex CC
    0x0105: "it knows no such attribute",
    0x0106: "an attribute's value is not valid",
    0x0110: "it could not process it",
    0x0117: "it takes no such SOP Instance UID",
    0x0118: "it does not support the SOP class",
    0x0119: "class and instance do not fit",
    0x0120: "it misses an attribute",
    0x0121: "it misses an attribute's value",
    0x0122: "it does not support the SOP class",
    0x0124: "it does not let us",
    0x0211: "it does not know the operation",
    0x0212: "it does not understand an argument",
    0x0213: "it has no resources",
    0xA700: "it is out of resources",
    0xC300: "the workitem may no longer be updated",
    0xC302: "the workitem is already in progress",
    0xC303: "a workitem becomes SCHEDULED by N-CREATE only",
    0xC304: "the final state requirements are not met",
    0xC307: "it has no such workitem",
    0xC308: "it does not know the receiving AE title",
    0xC309: "a workitem has to be created as SCHEDULED",
    0xC310: "it changes workitems that are in progress only",
    0xC311: "the workitem is already COMPLETED",
    0xC312: "the performer cannot be contacted",
    0xC313: "the performer chooses not to cancel",
    0xC314: "the action does not fit the workitem",
    0xC315: "it does not support event reports",
}
_WARNINGS = {
    0x0001: "it does not support optional attributes",
    0x0107: "an attribute is not in its list",
    0x0116: "a value is out of its range",
    0xB304: "it was canceled already",
    0xB300: "it made the workitem with modifications",
    0xB305: "it changed values that are not valid",
}


@dataclass(frozen=True)
class UPSChannel:
    """Workitems for one UPS manager."""

    peer: RemoteAE
    worklist_label: str
    low: bool = False
    retrieve_ae_title: str = ""

    @property
    def encoder(self) -> str:
        """Kind and version of the encoder, and the settings that its messages depend on."""
        return f"ups {ENCODER_VERSION} {self.worklist_label} {self.low} {self.retrieve_ae_title}"

    def wants(self, study: Study) -> bool:
        """Return whether this destination gets a message about the study; see ``Channel``."""
        return not study.shadow_only and not study.decision.prior

    def content(self, study: Study) -> list[object]:
        """Return what the receiver learns; see ``Channel``."""
        inputs = sorted({image.assessment.sop_instance_uid for image in study.images})
        told = [priority_of(study.decision.priority, self.low), study.decision.tag, inputs]
        return [*told, *told_findings(study.decision)]

    def build(self, study: Study) -> Built:
        """A workitem to create. An update names those that may stand for the study, newest first, as replaced.

        Which of them the manager has is known only when it is sent: an update changes the one that is there, and
        becomes a workitem of its own where that one is finished.
        """
        label = TEST_LABEL if study.test else self.worklist_label  # readers take what has their own label
        made = workitem(study, label, low=self.low, retrieve_ae_title=self.retrieve_ae_title)
        if study.test:
            made.ProcedureStepLabel = TEST + made.ProcedureStepLabel
        made.SOPClassUID = UPS_PUSH
        made.SOPInstanceUID = uid_of("ups", study.revision)
        earlier = study.before.identity["workitems"].split() if study.before else []
        if earlier:
            made.ReplacedProcedureStepSequence = [reference(UPS_PUSH, uid) for uid in earlier]
        if study.correction:
            mark_correction(made, study)
        elif study.before and study.before.lacked_images and not study.unread:
            mark_renewal(made, has_new_result=study.before.said != self.content(study))
        return Built(encoded(made), {"workitems": " ".join([str(made.SOPInstanceUID), *earlier])}, left_out(study))

    @contextmanager
    def connect(self) -> Iterator[Send]:
        """Open a connection for messages. Raises UnreachableError."""
        with dicom_store.associated(self.peer, (UPS_PUSH, UPS_PULL)) as association:
            yield lambda payload: send(association, payload)

    def reach(self) -> list[str]:
        """Connect without a message and return what is wrong. Raises UnreachableError."""
        return dicom_store.reach(self.peer, (UPS_PUSH, UPS_PULL))

    def check(self) -> list[str]:
        """Try the destination without any patient's data and return the result. Raises UnreachableError."""
        lines = dicom_store.check(self.peer, (UPS_PUSH, UPS_PULL))
        return [
            *lines,
            "New workitems need the Push class, changes of one that is there (a late raise) the Pull class.",
        ]


def send(association: Association, payload: bytes) -> SendResult:
    """Create the workitem in ``payload``, or change the earlier one that the manager has, and return the result."""
    dataset = dcmread(BytesIO(payload))
    change = _cancel if is_cancellation(dataset) else _change
    try:
        if is_renewal(dataset):
            return _renew(association, dataset)
        for earlier in dataset.get("ReplacedProcedureStepSequence", []):
            outcome = change(association, dataset, str(earlier.ReferencedSOPInstanceUID))
            if outcome is not None:
                return outcome
        if why := not_created(dataset):
            return _warned(why)
        return _create(association, dataset)
    except _LostError as error:
        if association.is_established:
            association.abort()
        return SendResult(DeliveryStatus.RETRY, str(error), lost=True)
    except _RejectedError as error:
        return SendResult(DeliveryStatus.DEAD, str(error))


def read_workitem(association: Association, uid: str, keywords: Sequence[str]) -> Dataset | None:
    """Return a workitem's attributes under UPS Pull; None if the manager shows none. Raises UnreachableError."""
    try:
        status, found = _get(association, UPS_PULL, UID(uid), list(keywords))
    except (_LostError, _RejectedError) as error:
        raise UnreachableError(str(error)) from error
    return found if status in _SHOWN else None


def has_changed(detail: str) -> bool:
    """Return whether an attempt with this detail changed a workitem that was there."""
    return _CHANGED_THERE in detail


class _LostError(TriageError):
    """The association is lost, or the peer does not answer on it."""


class _RejectedError(TriageError):
    """The manager did not take the presentation context that this needs."""


def _create(association: Association, dataset: Dataset) -> SendResult:
    uid = UID(str(dataset.SOPInstanceUID))
    content = Dataset({element.tag: element for element in dataset if element.keyword not in _NOT_CREATED})
    status = _asked(association, UPS_PUSH, lambda: association.send_n_create(content, UID(UPS_PUSH), uid))[0]
    if status == _DUPLICATE:
        return _compare(association, dataset, uid)
    return _of_status(status, "created")


def _compare(association: Association, dataset: Dataset, uid: UID) -> SendResult:
    """It has a workitem of that UID, which only we can have made: from an attempt whose answer was lost."""
    status, there = _get(association, UPS_PUSH, uid, list(_COMPARED))
    if status != 0x0000 or there is None:
        return _warned("it has the workitem already, and does not show it, 0x0111")
    differing = [keyword for keyword in _COMPARED if text_of(there, keyword) != text_of(dataset, keyword)]
    if differing:
        return _warned(f"it has the workitem already, with another {', '.join(differing)}")
    return SendResult(DeliveryStatus.DELIVERED, "it has the workitem already, the same, 0x0111")


def _change(association: Association, dataset: Dataset, earlier: str) -> SendResult | None:
    """Change a workitem that is there and SCHEDULED, so without Transaction UID (PS3.4 CC.2.6.2).

    None if a new one has to be made: the manager does not have it, or it is final.
    """
    uid = UID(earlier)
    changes = Dataset({dataset[keyword].tag: dataset[keyword] for keyword in _CHANGED if keyword in dataset})
    status = _asked(
        association,
        UPS_PULL,
        lambda: association.send_n_set(changes, UID(UPS_PUSH), uid, meta_uid=UID(UPS_PULL)),
    )[0]
    if status in _UNKNOWN or status == _FINAL:
        return None
    if status == _OWNED:
        return _owned(association, uid)
    return _of_status(status, _CHANGED_THERE)


def _cancel(association: Association, dataset: Dataset, earlier: str) -> SendResult | None:
    """Request the cancellation of a workitem. None if the manager does not have it."""
    status = _ask_to_cancel(association, dataset, earlier)
    return None if status in _UNKNOWN else _of_cancellation(status)


def _renew(association: Association, dataset: Dataset) -> SendResult:
    """Cancel the workitem that named no patient, the newest that the manager has, and make one that does.

    None is made for one that is being read or was read, nor where the manager cancels nothing: both would be listed.
    Those before the newest are finished: it was made because they were.
    """
    for earlier in dataset.ReplacedProcedureStepSequence:
        uid = str(earlier.ReferencedSOPInstanceUID)
        status = _ask_to_cancel(association, dataset, uid)
        if status == 0x0000 or status >> 12 == 0xB:
            break
        if status not in _UNKNOWN:
            return _renew_what_stays(association, dataset, uid, status)
    return _create(association, dataset)


def _renew_what_stays(association: Association, dataset: Dataset, uid: str, status: int) -> SendResult:
    """Tell of a new result as ever: by a change of what cannot be canceled, or by a new workitem where it is final."""
    refused = _of_cancellation(status)
    if refused.status is DeliveryStatus.RETRY or not has_new_result(dataset):
        return refused
    outcome = _change(association, dataset, uid)
    if outcome is None:
        return _create(association, dataset)
    if outcome.status is not DeliveryStatus.DELIVERED:
        return outcome
    return replace(outcome, detail=f"{outcome.detail}; it cannot be canceled, and names no patient still", warned=True)


def _ask_to_cancel(association: Association, dataset: Dataset, uid: str) -> int:
    """Request the cancellation of a workitem (N-ACTION, PS3.4 CC.2.2), and return the status of the answer."""
    request = Dataset({dataset[keyword].tag: dataset[keyword] for keyword in CANCELLATION if keyword in dataset})
    return _asked(
        association,
        UPS_PUSH,
        lambda: association.send_n_action(request, REQUEST_CANCEL, UID(UPS_PUSH), UID(uid)),
    )[0]


def _of_cancellation(status: int) -> SendResult:
    if status in _ENDED or status in _PERFORMER:
        return _warned(f"it cannot be canceled: {_MEANINGS[status]}; the correction is recorded here, 0x{status:04X}")
    return _of_status(status, "canceled")


def _owned(association: Association, uid: UID) -> SendResult | None:
    """Someone has claimed it: the radiologist has the study before them. None if it has been finished meanwhile."""
    status, there = _get(association, UPS_PULL, uid, ["ProcedureStepState"])
    if status == 0x0000 and there is not None and text_of(there, "ProcedureStepState") in ("COMPLETED", "CANCELED"):
        return None
    return _warned("it is in progress, so the change is recorded here and was not sent, 0xC301")


def _get(association: Association, under: str, uid: UID, keywords: list[str]) -> tuple[int, Dataset | None]:
    tags = [Tag(tag) for keyword in keywords if (tag := tag_for_keyword(keyword)) is not None]
    return _asked(association, under, lambda: association.send_n_get(tags, UID(UPS_PUSH), uid, meta_uid=UID(under)))


def _asked(association: Association, under: str, ask: Callable[[], Any]) -> tuple[int, Dataset | None]:
    """The status and data set of an answer."""
    if not association.is_established:
        if association.rejected_contexts and not association.accepted_contexts:
            raise _RejectedError(f"the manager takes no {UID(under).name}: it rejected the presentation context")
        raise _LostError("the association was lost")
    if not any(context.abstract_syntax == under for context in association.accepted_contexts):
        raise _RejectedError(f"the manager takes no {UID(under).name}: it rejected the presentation context")
    try:
        status, dataset = ask()
    except (RuntimeError, OSError) as error:
        raise _LostError(f"the association was lost ({cause(error)})") from error
    if "Status" not in status:
        raise _LostError("no answer: the association was lost or the time is up")
    return int(status.Status), dataset


def _warned(what: str) -> SendResult:
    return SendResult(DeliveryStatus.DELIVERED, f"warning: {what}", warned=True)


def _of_status(status: int, done: str) -> SendResult:
    """Return the result for a status of N-CREATE or N-SET (PS3.4 Tables CC.2.5-4 and CC.2.6-1, PS3.7 annex C)."""
    if status == 0x0000:
        return SendResult(DeliveryStatus.DELIVERED, f"{done}, 0x0000")
    if status in _WARNINGS or status >> 12 == 0xB:
        return _warned(f"{done}, {_WARNINGS.get(status, 'with a warning')}, 0x{status:04X}")
    delivery = DeliveryStatus.RETRY if status in _LATER or status not in _MEANINGS else DeliveryStatus.DEAD
    return SendResult(delivery, f"refused, {_MEANINGS.get(status, 'no reason that we know')}, 0x{status:04X}")
