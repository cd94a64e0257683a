"""Decode and prepare the image that a caller hands over, in this process or in a child."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from triage.api.asserted import Asserted
from triage.api.dx_file import Pixels, array_file, picture_file
from triage.decision.reasons import Reason
from triage.model.card import ModelCard
from triage.radiograph.decode import is_picture
from triage.radiograph.types import Attributes, Rejected, View
from triage.runtime.logs import where_raised
from triage.scoring.assess import AssessmentPolicy, PreparedImage, prepare

_TURNS: dict[int, threading.Lock] = {}
"""One lock for each process, so that a fork finds none that a thread of its parent holds."""


@dataclass(frozen=True)
class ImageDecoding:
    """Makes model inputs for the models of ``cards``; goes to a child process where decoding is isolated."""

    cards: Mapping[str, ModelCard]
    policy: AssessmentPolicy

    def __call__(self, source: bytes | Pixels, asserted: Asserted) -> PreparedImage:
        """Prepare one image. What cannot be decoded is rejected, whatever a library raises for it.

        One image of a process at a time: what pydicom only warns of is made an error by filters of warnings, and those
        are of the whole process.
        """
        with _TURNS.setdefault(os.getpid(), threading.Lock()):
            return self._prepared(source, asserted)

    def _prepared(self, source: bytes | Pixels, asserted: Asserted) -> PreparedImage:
        try:
            file = source if isinstance(source, bytes) else array_file(source, asserted)
            found = picture_file(file, asserted) if is_picture(file) else file
            return refused(found) if isinstance(found, Rejected) else prepare(found, self.cards, self.policy)
        except MemoryError:
            return refused(Rejected(Reason.WORKER_FAILURE, "decoding it needs more memory than there is"))
        except Exception as error:  # the edge: one image's failure is its own, and its text may quote the patient
            return refused(Rejected(Reason.WORKER_FAILURE, where_raised(error)))


def refused(rejected: Rejected) -> PreparedImage:
    """Return what is known of an image that never became one."""
    return PreparedImage(Attributes(), View.UNKNOWN, rejected=rejected)
