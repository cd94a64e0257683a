"""Association negotiation as acceptor, with pynetdicom's PDUs: who may connect, with which presentation contexts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydicom.uid import UID
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import (
    AllStoragePresentationContexts,
    PresentationContext,
    build_context,
    negotiate_as_acceptor,
)
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from triage.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from triage.metrics.labels import Rejection

# Result, source and reason of an A-ASSOCIATE-RJ, PS3.8 9.3.4.
REJECTIONS = {
    Rejection.CALLED_AE_TITLE: (1, 1, 7),
    Rejection.CALLING_AE_TITLE: (1, 1, 3),
    Rejection.SOURCE_ADDRESS: (1, 1, 1),
    Rejection.TOO_MANY: (2, 3, 2),
    Rejection.SHUTTING_DOWN: (2, 3, 1),
    Rejection.OTHER: (1, 1, 2),  # another application context
}
APPLICATION_CONTEXT_NAME = "1.2.840.10008.3.1.1.1"
_DICOM_ROOT = "1.2.840.10008."
_STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."
_UNCOMPRESSED = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2")


@dataclass(frozen=True)
class Request:
    """An A-ASSOCIATE-RQ. ``max_pdu`` is the largest PDU that the peer takes, 0 for any."""

    calling_ae_title: str
    called_ae_title: str
    max_pdu: int
    is_dicom: bool
    primitive: Any = field(repr=False)


@dataclass(frozen=True)
class Context:
    """An accepted presentation context."""

    abstract_syntax: str
    transfer_syntax: str


def supported_contexts(transfer_syntaxes: Sequence[str]) -> list[PresentationContext]:
    """Verification, and every standard Storage SOP class in each of ``transfer_syntaxes``, ours in order of preference.

    All storage classes, because refusing the context of a structured report can fail a sender's whole study.
    """
    storage = [_context(str(cx.abstract_syntax), transfer_syntaxes) for cx in AllStoragePresentationContexts]
    return [_context(Verification, _UNCOMPRESSED), *storage]


def _further_storage(
    asked: Sequence[PresentationContext], supported: Sequence[PresentationContext]
) -> list[PresentationContext]:
    """Storage classes that pynetdicom does not know, retired ones and newer ones, and private classes, for that reason.

    Of a private class we cannot know that it is storage; what is not C-STORE is answered 0x0211.
    """
    known = {cx.abstract_syntax for cx in supported}
    syntaxes = supported[-1].transfer_syntax
    unknown = {str(cx.abstract_syntax) for cx in asked if cx.abstract_syntax not in known}
    return [
        _context(uid, syntaxes) for uid in unknown if uid.startswith(_STORAGE_ROOT) or not uid.startswith(_DICOM_ROOT)
    ]


def _context(abstract_syntax: str, transfer_syntaxes: Sequence[str]) -> PresentationContext:
    context = build_context(abstract_syntax, list(transfer_syntaxes))
    # We are an SCP and no SCU: a role that a peer asks for is answered so (PS3.7 D.3.3.4).
    context.scu_role, context.scp_role = True, False
    return context


def read_request(header_and_body: bytes) -> Request:
    """Decode an A-ASSOCIATE-RQ PDU; ValueError or alike for one that cannot be."""
    pdu = A_ASSOCIATE_RQ()
    pdu.decode(header_and_body)
    primitive = pdu.to_primitive()
    return Request(
        calling_ae_title=primitive.calling_ae_title.strip(),
        called_ae_title=primitive.called_ae_title.strip(),
        max_pdu=primitive.maximum_length_received or 0,
        is_dicom=primitive.application_context_name == APPLICATION_CONTEXT_NAME,
        primitive=primitive,
    )


def accept(request: Request, supported: list[PresentationContext], max_pdu: int) -> tuple[bytes, dict[int, Context]]:
    """The A-ASSOCIATE-AC to send, and the accepted contexts by ID."""
    asked = request.primitive
    roles = {
        UID(str(item.sop_class_uid)): (item.scu_role, item.scp_role)
        for item in asked.user_information
        if isinstance(item, SCP_SCU_RoleSelectionNegotiation)
    }
    proposed = asked.presentation_context_definition_list
    offered = [*supported, *_further_storage(proposed, supported)]
    contexts, role_items = negotiate_as_acceptor(proposed, offered, roles)
    answer = A_ASSOCIATE()
    answer.application_context_name = asked.application_context_name
    answer.calling_ae_title = asked.calling_ae_title
    answer.called_ae_title = asked.called_ae_title
    answer.result, answer.result_source = 0x00, 0x01
    answer.presentation_context_definition_results_list = contexts
    answer.user_information = [*_about_us(max_pdu), *role_items]
    pdu = A_ASSOCIATE_AC()
    pdu.from_primitive(answer)
    accepted = {
        int(cx.context_id or 0): Context(str(cx.abstract_syntax), str(cx.transfer_syntax[0]))
        for cx in contexts
        if cx.result == 0
    }
    return pdu.encode(), accepted


def _about_us(max_pdu: int) -> list[Any]:
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received = max_pdu
    implementation.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    return [length, implementation, version]
