"""The activation map over the radiograph as Secondary Capture images in the original study. Off unless configured."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from pydicom.uid import SecondaryCaptureImageStorage

from triage.channels import c_store_scu as dicom_store
from triage.channels.base import (
    Built,
    DeliveryStatus,
    NothingToShowError,
    ObjectUnreadError,
    Send,
    SendResult,
    Skipped,
    result,
)
from triage.channels.patient_study import left_out
from triage.channels.secondary_capture.image import LONGEST, secondary_capture
from triage.decision.types import Tag
from triage.dicom.byte_source import Openable
from triage.dicom.requestor import RemoteAE
from triage.model.activation_map import Picture, why_none
from triage.radiograph.display import greys
from triage.radiograph.types import Rejected
from triage.runtime.child_pool import DecodePool, DecoderDiedError
from triage.spool.study import Study, StudyImage

ENCODER_VERSION = "2"
SOP_CLASSES = (str(SecondaryCaptureImageStorage),)

DECODE_TIMEOUT_S = 60.0
_LENGTH_BYTES = 8


@dataclass(frozen=True)
class SecondaryCaptureChannel:
    """Maps to one PACS: an image for each scored one. ``device_uid`` is that of this installation.

    ``pool`` decodes the radiographs, as the worker does, in a child process; its maker closes it.
    """

    peer: RemoteAE
    abnormal_only: bool = False
    device_uid: str = "2.25.0"
    pool: DecodePool = field(default_factory=lambda: DecodePool(1, DECODE_TIMEOUT_S), compare=False, repr=False)

    @property
    def encoder(self) -> str:
        """Kind and version of the encoder, and the settings that its messages depend on."""
        return f"secondary_capture {ENCODER_VERSION} {self.abnormal_only}"

    def wants(self, study: Study) -> bool:
        """Return whether this destination gets a message about the study; see ``Channel``."""
        return not study.shadow_only

    def content(self, study: Study) -> list[object]:
        """Return what the receiver learns; see ``Channel``."""
        images = sorted(
            [each.sop_instance_uid, each.content_digest, each.probability, each.tag, why_none(each)]
            for each in (image.assessment for image in study.scored)
        )
        return [*result(study), images]

    def build(self, study: Study) -> Built | Skipped:
        """The images, one after the other.

        Raises NothingToShowError for one that cannot be drawn, and ObjectUnreadError for one that cannot be read now.
        """
        images = self._mapped(study)
        if not images:
            return Skipped(self._why_none(study))
        greys_of = [_grey(image, self.pool) for image in images]
        with warnings.catch_warnings():  # what is odd about the patient's attributes was odd when they came
            warnings.simplefilter("ignore")
            made = [
                secondary_capture(study, image, grey, number, self.device_uid)
                for number, (image, grey) in enumerate(zip(images, greys_of, strict=True), 1)
            ]
        uids = {"sop_class_uid": SOP_CLASSES[0], "sop_instance_uid": " ".join(uid for uid, _ in made)}
        odd = dict.fromkeys(each for image in images for each in left_out(image.header))
        return Built(packed([content for _, content in made]), uids, tuple(odd))

    @contextmanager
    def connect(self) -> Iterator[Send]:
        """Open a connection for messages. Raises UnreachableError."""
        with self._store() as send:
            yield lambda payload: send_all(send, payload)

    def reach(self) -> list[str]:
        """Connect without a message and return what is wrong. Raises UnreachableError."""
        return dicom_store.reach(self.peer, SOP_CLASSES)

    def check(self) -> list[str]:
        """Try the destination without any patient's data and return the result. Raises UnreachableError."""
        return dicom_store.check(self.peer, SOP_CLASSES)

    def _store(self) -> AbstractContextManager[Send]:
        return dicom_store.connect(self.peer, SOP_CLASSES)

    def _mapped(self, study: Study) -> list[StudyImage]:
        """The images whose maps go out: assessed ones that have one."""
        tags = {Tag.ABNORMAL} if self.abnormal_only else {Tag.ABNORMAL, Tag.NORMAL}
        if study.decision.tag not in tags:
            return []
        return [each for each in study.scored if each.assessment.tag in tags and not why_none(each.assessment)]

    def _why_none(self, study: Study) -> str:
        if study.decision.tag is Tag.NOT_ASSESSED:
            return "no activation map is sent of a study that is not assessed"
        if self.abnormal_only and study.decision.tag is not Tag.ABNORMAL:
            return "no activation map is sent of a study that is not abnormal (abnormal_only)"
        whys = {why_none(each.assessment) for each in study.scored} - {""}
        return f"there is no activation map: {'; '.join(sorted(whys)) or 'no image was scored'}"


def packed(objects: list[bytes]) -> bytes:
    """Several files as one payload: each behind its length. Together they are one result, delivered or not."""
    return b"".join(len(each).to_bytes(_LENGTH_BYTES, "big") + each for each in objects)


def unpacked(payload: bytes) -> Iterator[bytes]:
    """The files in a payload."""
    at = 0
    while at < len(payload):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(payload[at:start], "big")
        yield payload[start:at]


def send_all(send: Send, payload: bytes) -> SendResult:
    """Send every file; the first that is not taken decides. Sent again, those that were are known by their UIDs."""
    outcomes: list[SendResult] = []
    for each in unpacked(payload):
        outcome = send(each)
        if outcome.status is not DeliveryStatus.DELIVERED:
            return outcome
        outcomes.append(outcome)
    warned = (each for each in outcomes if each.warned)
    return next(warned, outcomes[0])


def grey_of(stored: Openable) -> Picture | Rejected:
    """A stored radiograph as it opens; runs in a decode process. Raises ObjectUnreadError."""
    try:
        content = stored.read_bytes()
    except OSError as error:
        raise ObjectUnreadError(*error.args[:2]) from error
    return greys(content, LONGEST)


def _grey(image: StudyImage, pool: DecodePool) -> Picture:
    if image.stored is None:
        raise NothingToShowError("the image is no longer kept")
    try:
        found = pool.submit(grey_of, image.stored).result()
    except DecoderDiedError as error:
        raise NothingToShowError(str(error)) from error
    if isinstance(found, Rejected):
        raise NothingToShowError(found.detail)
    return found
