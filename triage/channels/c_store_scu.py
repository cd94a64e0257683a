"""C-STORE of objects that lie built in the outbox (PS3.4 annex B), over one association for many."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO

from pydicom import dcmread
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from triage.channels.base import DeliveryStatus, Send, SendResult
from triage.dicom.attribute_text import text_of
from triage.dicom.pynetdicom_internals import connected_socket
from triage.dicom.requestor import NoAssociationError, RemoteAE, rejects_all_contexts
from triage.dicom.requestor import associated as associated_with
from triage.errors import UnreachableError, cause

logger = logging.getLogger(__name__)

_STORED = {0x0000: "stored", 0x0111: "it has the object already"}
_WARNINGS = {
    0xB000: "stored, with elements coerced",
    0xB006: "stored, with elements discarded",
    0xB007: "stored, although the data set does not match its class",
}


@contextmanager
def connect(peer: RemoteAE, sop_classes: Sequence[str]) -> Iterator[Send]:
    """An association for objects of ``sop_classes``. Raises UnreachableError."""
    with associated(peer, sop_classes) as association:
        numbers = iter(range(1, 0x10000))
        yield lambda payload: store(association, payload, next(numbers, 1))


@contextmanager
def associated(peer: RemoteAE, sop_classes: Sequence[str]) -> Iterator[Association]:
    """An association with Verification and ``sop_classes``, released at the end. Raises UnreachableError.

    One that stands although the peer took no context is yielded too: each object's answer says so.
    """
    try:
        with associated_with(peer, proposed_contexts(sop_classes)) as association:
            yield association
    except NoAssociationError as error:
        raise UnreachableError(str(error)) from error


def store(association: Association, payload: bytes, message_id: int) -> SendResult:
    """Send one DICOM file, and return the result."""
    dataset = dcmread(BytesIO(payload))
    sop_class = UID(dataset.SOPClassUID)
    if not any(context.abstract_syntax == sop_class for context in association.accepted_contexts):
        if not association.is_established and not rejects_all_contexts(association):
            return SendResult(DeliveryStatus.RETRY, "the association was lost", lost=True)
        return SendResult(
            DeliveryStatus.DEAD, f"the peer takes no {sop_class.name}: it rejected the presentation context"
        )
    try:
        answer = association.send_c_store(dataset, message_id)
    except (RuntimeError, OSError) as error:
        if association.is_established:
            association.abort()
        return SendResult(DeliveryStatus.RETRY, f"the association was lost ({cause(error)})", lost=True)
    if "Status" not in answer:
        association.abort()
        return SendResult(DeliveryStatus.RETRY, "no answer: the association was lost or the time is up", lost=True)
    return of_status(int(answer.Status), text_of(answer, "ErrorComment"))


def of_status(status: int, comment: str = "") -> SendResult:
    """Return the result for a C-STORE status (PS3.4 Table B.2-1, PS3.7 annex C).

    Stored, also with a warning: delivered. Out of resources, and what the standard leaves open: again. The class is
    not supported, the data set does not match or cannot be understood: never.
    """
    delivery, meaning = _meaning(status)
    return SendResult(delivery, f"{meaning}, 0x{status:04X}", told=comment, warned=status in _WARNINGS)


def _meaning(status: int) -> tuple[DeliveryStatus, str]:
    if status in _STORED:
        return DeliveryStatus.DELIVERED, _STORED[status]
    if status in _WARNINGS:
        return DeliveryStatus.DELIVERED, f"warning: {_WARNINGS[status]}"
    if status >> 8 == 0xA7:
        return DeliveryStatus.RETRY, "refused, out of resources"
    if status >> 8 == 0xA9:
        return DeliveryStatus.DEAD, "refused, the data set does not match its SOP class"
    if status >> 12 == 0xC:
        return DeliveryStatus.DEAD, "refused, the peer cannot understand the object"
    if status == 0x0122:
        return DeliveryStatus.DEAD, "refused, the SOP class is not supported"
    return DeliveryStatus.RETRY, "not stored"


def reach(peer: RemoteAE, sop_classes: Sequence[str]) -> list[str]:
    """C-ECHO: what is wrong with the peer for objects of ``sop_classes``, empty if nothing. Raises UnreachableError."""
    with associated(peer, sop_classes) as association:
        taken, failure = _tried(association)
        wrong = [f"it takes no {UID(each).name}" for each in sop_classes if each not in taken]
        return [*wrong, f"C-ECHO {failure}"] if failure else wrong


def check(peer: RemoteAE, sop_classes: Sequence[str]) -> list[str]:
    """C-ECHO, and which of ``sop_classes`` the peer takes. Raises UnreachableError."""
    with associated(peer, sop_classes) as association:
        lines = [f"{peer} accepted the association{_over(association)}."]
        taken, failure = _tried(association)
        if Verification in taken:
            lines.append(f"C-ECHO: {failure or 'succeeded'}.")
        else:
            lines.append("C-ECHO: it takes no Verification; that does no harm.")
        for sop_class in sop_classes:
            lines.append(f"{UID(sop_class).name}: {'accepted' if sop_class in taken else 'REJECTED'}.")
    return lines


def _tried(association: Association) -> tuple[set[str], str]:
    """The abstract syntaxes that the peer took, and why C-ECHO failed; empty if it did not, or was not taken."""
    taken = {str(context.abstract_syntax) for context in association.accepted_contexts}
    status = association.send_c_echo().get("Status") if Verification in taken else 0x0000
    return taken, "" if status == 0x0000 else f"failed, status {status}"


def _over(association: Association) -> str:
    connected = connected_socket(association)
    return f" over {connected.version()}, {connected.cipher()[0]}" if isinstance(connected, ssl.SSLSocket) else ""  # type: ignore[index]


def proposed_contexts(sop_classes: Sequence[str]) -> list[PresentationContext]:
    """One for each syntax, so that the bytes go unchanged wherever the peer takes Explicit VR Little Endian."""
    syntaxes = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    storage = [build_context(sop_class, syntax) for sop_class in sop_classes for syntax in syntaxes]
    return [build_context(Verification, ImplicitVRLittleEndian), *storage]
