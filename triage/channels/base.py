"""What every way out has in common: build what is sent once, send those bytes, say what came of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from pydicom.dataset import Dataset

from triage.decision.decide import ImageAssessment, Tag, TriageDecision

TEST = "TEST: "
"""What the words of a message about no patient begin with."""


class Fate(StrEnum):
    """What an attempt came to."""

    DELIVERED = "delivered"
    RETRY = "retry"  # the same bytes may be taken later
    DEAD = "dead"  # they never will be


@dataclass(frozen=True)
class Outcome:
    """What came of sending. ``detail`` is for people and names no patient.

    ``told`` is what the peer said, which may: it is kept with the study and not logged.
    ``lost``: the connection cannot be used for another message. ``tries`` bounds the attempts at what is answered so,
    where that differs from the destination's.
    """

    fate: Fate
    detail: str
    lost: bool = False
    tries: int | None = None
    told: str = ""


class UnreachableError(Exception):
    """The destination does not let us speak to it at all: no message's fault, and no message's attempt."""


@dataclass(frozen=True, eq=False)
class Image:
    """One object of a study: what was found, its attributes without pixels, and where the spool has it."""

    assessment: ImageAssessment
    header: Dataset
    path: Path | None = None


@dataclass(frozen=True)
class Told:
    """What a destination was told last of a study."""

    revision: str
    tag: str
    identity: dict[str, str]


@dataclass(frozen=True, eq=False)
class Study:
    """The facts of one study that a message is built from; at least one image.

    ``number`` counts what this destination is told of the study, from 1. ``revision``: 32 hex digits of the digest of
    all that the message rests on. ``before`` is what it was told last. ``now`` in POSIX seconds. ``test``: it is no
    patient's, and the message has to say so.
    """

    decision: TriageDecision
    images: tuple[Image, ...]
    now: float
    number: int = 1
    revision: str = ""
    before: Told | None = None
    test: bool = False

    @property
    def scored(self) -> tuple[Image, ...]:
        """The images whose probability counts, none of a shadow model."""
        return tuple(
            image
            for image in self.images
            if image.assessment.probability is not None and image.assessment.counts and not image.assessment.shadow
        )

    @property
    def raised(self) -> bool:
        """Whether it goes to the top of the list: abnormal, and someone waits for it."""
        return self.decision.tag is Tag.ABNORMAL and not self.decision.prior

    @property
    def shadow_only(self) -> bool:
        """Whether nothing but models in shadow saw it."""
        counted = [image.assessment for image in self.images if image.assessment.counts]
        return bool(counted) and all(assessment.shadow for assessment in counted)


@dataclass(frozen=True)
class Built:
    """The bytes to send, and what the receiver knows them by."""

    payload: bytes
    identity: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Skipped:
    """There is nothing to send of this result; ``why`` is recorded with the study, and names no patient."""

    why: str


Send = Callable[[bytes], Outcome]


class Channel(Protocol):
    """One destination's way out. All methods are called from one thread."""

    @property
    def encoder(self) -> str:
        """Kind and version of the encoder, and the settings that its messages rest on: part of the revision."""

    def wants(self, study: Study) -> bool:
        """Whether this destination is to hear of the study at all."""

    def says(self, study: Study) -> list[Any]:
        """What the receiver learns, as JSON: the same again is not sent again."""

    def build(self, study: Study) -> Built | Skipped:
        """The message. Called once for a revision; what it returns is what is sent, however often."""

    def connect(self) -> AbstractContextManager[Send]:
        """A connection over which messages are sent, one after the other. Raises UnreachableError."""

    def check(self) -> list[str]:
        """Try the destination without any patient's data: what was found, line by line. Raises UnreachableError."""


def result(study: Study) -> list[Any]:
    """Tag, probability, reasons and model, for ``Channel.says``."""
    decision = study.decision
    return [decision.tag, decision.probability, list(decision.reasons), decision.model_id, decision.prior]
