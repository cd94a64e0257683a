"""Association negotiation as acceptor: presentation contexts, roles and rejections (PS3.8 9.3, PS3.7 annex D)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pynetdicom.presentation import AllStoragePresentationContexts

from triage.dicom.association_request import (
    ACCEPTANCE,
    NO_ABSTRACT_SYNTAX,
    NO_REASON,
    NO_TRANSFER_SYNTAX,
    USER_REJECTION,
    AssociationRequest,
    ContextResult,
    ProposedContext,
    acceptance,
)
from triage.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from triage.metrics.labels import ContextRejection, Rejection

# Result, source and reason of an A-ASSOCIATE-RJ, PS3.8 9.3.4.
REJECTIONS = {
    Rejection.CALLED_AE_TITLE: (1, 1, 7),
    Rejection.CALLING_AE_TITLE: (1, 1, 3),
    Rejection.SOURCE_ADDRESS: (1, 1, 1),
    Rejection.TOO_MANY: (2, 3, 2),
    Rejection.TOO_MANY_OF_ADDRESS: (2, 3, 2),
    Rejection.SHUTTING_DOWN: (2, 3, 1),
    Rejection.OTHER: (1, 1, 2),  # another application context
}
WHY_REJECTED = {
    USER_REJECTION: ContextRejection.ROLE,
    NO_REASON: ContextRejection.MALFORMED,
    NO_ABSTRACT_SYNTAX: ContextRejection.ABSTRACT_SYNTAX,
    NO_TRANSFER_SYNTAX: ContextRejection.TRANSFER_SYNTAXES,
}
VERIFICATION = "1.2.840.10008.1.1"
_DICOM_ROOT = "1.2.840.10008."
_STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."
_UNCOMPRESSED = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2")

Supported = Mapping[str, tuple[str, ...]]
"""Transfer syntaxes, ours in order of preference, by abstract syntax."""


@dataclass(frozen=True)
class Context:
    """An accepted presentation context."""

    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True)
class Negotiated:
    """The A-ASSOCIATE-AC to send, the accepted contexts by ID, and the reasons of rejected ones by ID."""

    answer: bytes
    contexts: dict[int, Context]
    rejected: dict[int, ContextRejection]


def supported_contexts(transfer_syntaxes: Sequence[str]) -> Supported:
    """Return Verification, and every standard Storage SOP class in each of ``transfer_syntaxes``.

    All storage classes, because rejecting the context of a structured report can fail a sender's whole study.
    """
    storage = [str(cx.abstract_syntax) for cx in AllStoragePresentationContexts]
    return {VERIFICATION: _UNCOMPRESSED, **dict.fromkeys(storage, tuple(transfer_syntaxes))}


def accept(request: AssociationRequest, supported: Supported, max_pdu: int) -> Negotiated:
    """Return the response to an admitted request. A context that cannot be used is rejected alone (PS3.8 9.3.3.2)."""
    roles = {uid: (scu, scp) for uid, scu, scp in request.roles}
    results = {each.context_id: _result(each, supported, roles) for each in request.contexts}
    contexts = {
        each.context_id: Context(each.abstract_syntax, results[each.context_id].transfer_syntax)
        for each in request.contexts
        if results[each.context_id].result == ACCEPTANCE
    }
    accepted = {each.abstract_syntax for each in contexts.values()}
    # We are SCP and never SCU: role selection is answered so (PS3.7 D.3.3.4).
    our_roles = [(uid, scu, False) for uid, (scu, _) in sorted(roles.items()) if uid in accepted]
    implementation = IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
    answer = acceptance(request, list(results.values()), our_roles, max_pdu, implementation)
    rejected = {number: WHY_REJECTED[each.result] for number, each in results.items() if each.result != ACCEPTANCE}
    return Negotiated(answer, contexts, rejected)


def _result(proposed: ProposedContext, supported: Supported, roles: Mapping[str, tuple[bool, bool]]) -> ContextResult:
    if not proposed.usable:
        return ContextResult(proposed.context_id, NO_REASON)
    if not (syntaxes := _syntaxes(proposed.abstract_syntax, supported)):
        return ContextResult(proposed.context_id, NO_ABSTRACT_SYNTAX)
    common = [each for each in syntaxes if each in proposed.transfer_syntaxes]
    if not common:
        return ContextResult(proposed.context_id, NO_TRANSFER_SYNTAX)
    if not roles.get(proposed.abstract_syntax, (True, False))[0]:  # the peer would be no SCU, and could not send to us
        return ContextResult(proposed.context_id, USER_REJECTION)
    return ContextResult(proposed.context_id, ACCEPTANCE, common[0])


def _syntaxes(abstract_syntax: str, supported: Supported) -> tuple[str, ...]:
    """Return our transfer syntaxes for a class; also for storage classes that pynetdicom lacks, and for private ones.

    A private class may be no storage class; a request other than C-STORE is answered with status 0x0211.
    """
    if abstract_syntax in supported:
        return supported[abstract_syntax]
    unknown = abstract_syntax.startswith(_STORAGE_ROOT) or not abstract_syntax.startswith(_DICOM_ROOT)
    return list(supported.values())[-1] if abstract_syntax and unknown else ()
