"""Label values and buckets of the metrics. Every label is bounded."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

PREFIX = "cxr_triage"


OTHER = "other"


class Rejection(StrEnum):
    """Reasons for which an association is rejected."""

    CALLED_AE_TITLE = "called_ae_title"
    CALLING_AE_TITLE = "calling_ae_title"
    SOURCE_ADDRESS = "source_address"
    TOO_MANY = "too_many"
    TOO_MANY_OF_ADDRESS = "too_many_of_address"
    SHUTTING_DOWN = "shutting_down"
    OTHER = OTHER


class NoRequest(StrEnum):
    """Reasons for which a connection ended without an association or a rejection."""

    MALFORMED = "malformed"  # an A-ASSOCIATE-RQ that cannot be read, or one that is too long
    NOT_DICOM = "not_dicom"  # something else came first
    SILENT = "silent"  # no request in time
    MADE_ROOM = "made_room"  # it had sent no request yet when others came, or the listener stopped
    LOST = "lost"  # it was closed or reset in the midst of a request
    FAILED = "failed"  # a defect of ours


class ContextRejection(StrEnum):
    """Reasons for which a presentation context is rejected."""

    ABSTRACT_SYNTAX = "abstract_syntax"  # we accept no such objects, or none is named
    TRANSFER_SYNTAXES = "transfer_syntaxes"  # none that we can decode, or none is named
    MALFORMED = "malformed"  # its identifier is even or another context's, or its items are not whole
    ROLE = "role"  # the peer would not be the one that sends


class Ending(StrEnum):
    """Ends of an accepted association."""

    RELEASED = "released"
    ABORTED_BY_PEER = "aborted_by_peer"
    ABORTED_BY_US = "aborted_by_us"
    CONNECTION_LOST = "connection_lost"
    TIMED_OUT = "timed_out"


class StoreOutcome(StrEnum):
    """Outcomes of an object that a peer sent, with the C-STORE status of the response."""

    STORED = "stored"  # 0x0000
    DUPLICATE = "duplicate"  # 0x0000
    REFUSED = "refused"  # 0xA700: high-water mark or OSError
    MISMATCH = "mismatch"  # 0xA900
    QUARANTINED = "quarantined"  # 0xC000
    INCOMPLETE = "incomplete"  # the association ended in mid-object: no answer


class SignInOutcome(StrEnum):
    """Outcomes of a sign-in."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # wrong password or no such user; no name or no role at the identity provider
    THROTTLED = "throttled"  # too many wrong ones before, or too many at once
    UNTRUSTED = "untrusted"  # a proxy's header from an address that is no trusted proxy
    INVALID = "invalid"  # the identity provider's response is not valid, or belongs to no attempt
    FAILED = "failed"  # the identity provider did not answer as it should


class ViewCheck(StrEnum):
    """Comparison of the stated view of an image with its pixels."""

    AGREED = "agreed"  # or the pixels are not certain enough
    CONTRADICTED = "contradicted"
    NOT_STATED = "not_stated"


class ModelState(StrEnum):
    """States of a model: whether its scores count."""

    ENABLED = "enabled"
    SHADOW = "shadow"
    DISABLED = "disabled"
    NOT_LOADED = "not_loaded"  # loading it did not end in time
    OUT = "out"  # it lives at a server, which does not give the known answers


FAST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


WAITING_SECONDS = (0.1, 0.2, 0.4, 0.7, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)


PROBABILITIES = tuple(step / 20 for step in range(1, 21))


DISTANCE_RATIOS = (0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0)


BATCH_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


class ReportOutcome(StrEnum):
    """Outcomes of a report message, for each order in it."""

    READ = "read"  # a study left the list
    REPEATED = "repeated"  # the same message again
    OUTDATED = "outdated"  # an image came after the report: the study stays
    IN_DOUBT = "in_doubt"  # the clock jumped, so it cannot be said whether an image came after it: the study stays
    UNMATCHED = "unmatched"  # of no study of ours
    REMEMBERED = "remembered"  # of no study of ours yet
    EARLY = "early"  # a study came that a remembered report is of: it left the list
    OTHER_STATUS = "other_status"  # it does not say that there is a report
    OWN = "own"  # a triage result that came back
    TEST = "test"  # not of production
    NO_PATIENT = "no_patient"  # it, or the study with its accession number, does not say of which patient it is
    UNREADABLE = "unreadable"  # no object of the study can be read, and so its patient is unknown
    AMBIGUOUS = "ambiguous"
    OTHER_PATIENT = "other_patient"
    CONTRADICTORY = "contradictory"
    MALFORMED = "malformed"
    OTHER_KIND = "other_kind"  # a message that reports nothing, e.g. ADT
    REFUSED = "refused"  # its sender is not taken here
    FAILED = "failed"  # Redis or the disk: the sender has to send it again


def bounded(value: str, allowed: Collection[str]) -> str:
    """Return ``value`` if it is on the closed list ``allowed``, else ``other``."""
    return value if value in allowed else OTHER
