"""What every way out has in common: build what is sent once, send those bytes, say what came of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from triage.spool.study import Study

TEST = "TEST: "
"""What the words of a message about no patient begin with."""


class DeliveryStatus(StrEnum):
    """What an attempt came to."""

    DELIVERED = "delivered"
    RETRY = "retry"  # the same bytes may be taken later
    DEAD = "dead"  # they never will be


@dataclass(frozen=True)
class SendResult:
    """What came of sending. ``detail`` is for people and names no patient.

    ``told`` is what the peer said, which may: it is kept with the study and not logged.
    ``lost``: the connection cannot be used for another message. ``tries`` bounds the attempts at what is answered so,
    where that differs from the destination's.
    """

    status: DeliveryStatus
    detail: str
    lost: bool = False
    tries: int | None = None
    told: str = ""


@dataclass(frozen=True)
class Built:
    """The bytes to send, and what the receiver knows them by.

    ``left_out``: attributes of the images that the message would have if they were not odd, and why; no value is named.
    """

    payload: bytes
    identity: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Skipped:
    """There is nothing to send of this result; ``why`` is recorded with the study, and names no patient."""

    why: str


class NothingToShowError(Exception):
    """No message can be built, whatever the attributes of the images are; the text names no patient."""


Send = Callable[[bytes], SendResult]


class Channel(Protocol):
    """One destination's way out. All methods are called from one thread."""

    @property
    def encoder(self) -> str:
        """Kind and version of the encoder, and the settings that its messages rest on: part of the revision."""

    def wants(self, study: Study) -> bool:
        """Whether this destination is to hear of the study at all."""

    def content(self, study: Study) -> list[Any]:
        """What the receiver learns, as JSON: the same again is not sent again."""

    def build(self, study: Study) -> Built | Skipped:
        """The message. Called once for a revision; what it returns is what is sent, however often."""

    def connect(self) -> AbstractContextManager[Send]:
        """A connection over which messages are sent, one after the other. Raises UnreachableError."""

    def reach(self) -> list[str]:
        """Connect and send no message: what is wrong, empty if nothing. Raises UnreachableError."""

    def check(self) -> list[str]:
        """Try the destination without any patient's data: what was found, line by line. Raises UnreachableError."""


def result(study: Study) -> list[Any]:
    """Tag, probability, reasons and model, for ``Channel.content``."""
    decision = study.decision
    return [decision.tag, decision.probability, list(decision.reasons), decision.model_id, decision.prior]
