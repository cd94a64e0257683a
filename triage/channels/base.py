"""The interface of every channel: build a message once, send its bytes, report the result."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from triage.decision.statement import told_findings
from triage.errors import TriageError
from triage.spool.study import Study

TEST = "TEST: "
"""Prefix of the texts of a test message, which is about no patient."""


class DeliveryStatus(StrEnum):
    """Result of one attempt at a delivery."""

    DELIVERED = "delivered"
    RETRY = "retry"  # the same bytes may be taken later
    DEAD = "dead"  # they never will be


@dataclass(frozen=True)
class SendResult:
    """Result of sending one message.

    Attributes:
        status: delivered, to be sent again, or a dead letter.
        detail: the result in words, for logs; it names no patient.
        warned: it was delivered, and the peer's answer is a warning.
        lost: the connection cannot be used for another message.
        tries: the most attempts for this answer, where that differs from the destination's.
        told: the peer's own text, which may name a patient: kept with the study, never logged.
    """

    status: DeliveryStatus
    detail: str
    lost: bool = False
    tries: int | None = None
    told: str = ""
    warned: bool = False


@dataclass(frozen=True)
class Built:
    """One built message.

    Attributes:
        payload: the bytes to send.
        identity: the identifiers by which the receiver knows it (SOP Instance UID, message control ID).
        left_out: attributes of the images that are malformed and therefore not in the message, and why; no value.
        withdraws: it only takes back what was said of another patient; the result itself follows, in a further message.
    """

    payload: bytes
    identity: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    withdraws: bool = False


@dataclass(frozen=True)
class Skipped:
    """No message for this result; ``why`` is recorded with the study and names no patient."""

    why: str


class NothingToShowError(TriageError):
    """No message can be built, whatever the attributes of the images are; the text names no patient."""


class ObjectUnreadError(TriageError, OSError):
    """No message can be built now, as the bytes of an object of the study cannot be had; others' may be."""


Send = Callable[[bytes], SendResult]


class Channel(Protocol):
    """The channel of one destination.

    Messages are built in one thread while connections are opened and used in others, each in one; never so for a
    destination whose settings say ``one_at_a_time``.
    """

    @property
    def encoder(self) -> str:
        """Kind and version of the encoder, and the settings that its messages depend on: part of the revision."""

    def wants(self, study: Study) -> bool:
        """Return whether this destination gets a message about the study at all."""

    def content(self, study: Study) -> list[object]:
        """Return what the receiver learns, as JSON values: equal content is not sent again."""

    def build(self, study: Study) -> Built | Skipped:
        """Build the message. Called once for a revision; every attempt sends these bytes."""

    def connect(self) -> AbstractContextManager[Send]:
        """Open a connection for messages, one after the other. Raises UnreachableError."""

    def reach(self) -> list[str]:
        """Connect without a message and return the faults, line by line; empty if none. Raises UnreachableError."""

    def check(self) -> list[str]:
        """Try the destination without patient data and return the result, line by line. Raises UnreachableError."""


def result(study: Study) -> list[object]:
    """Return tag, probability, reasons and model, for ``Channel.content``; and findings, where they say more."""
    decision = study.decision
    told = [decision.tag, decision.probability, list(decision.reasons), decision.model_id, decision.prior]
    return [*told, *told_findings(decision)]
