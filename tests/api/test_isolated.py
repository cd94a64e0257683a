"""Decoding in a child process that no image can take the caller down with."""

from __future__ import annotations

import os
import signal
import sys
import threading
from dataclasses import dataclass, replace

import numpy as np
import pytest

from triage.api.asserted import Asserted
from triage.api.decoding import ImageDecoding
from triage.api.dx_file import Pixels
from triage.api.isolated import IsolatedDecoding
from triage.decision.reasons import Reason
from triage.errors import StartError
from triage.radiograph.types import Attributes, Part, View
from triage.scoring.assess import AssessmentPolicy, PreparedImage

SAID = Asserted("PA", 50, "CHEST", "MONOCHROME2")


@dataclass(frozen=True)
class OddDecoding:
    """Does what the bytes say."""

    def __call__(self, source: bytes | Pixels, asserted: Asserted) -> PreparedImage:
        if source == b"crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if source == b"hang":
            threading.Event().wait()
        return PreparedImage(Attributes(study_instance_uid=str(os.getpid())), View.PA, Part.CHEST)


def child_of(decoding: IsolatedDecoding) -> int:
    """The process that decodes an image of which nothing is odd."""
    found = decoding(b"", SAID)
    assert found.rejected is None
    return int(found.attributes.study_instance_uid)


def test_an_image_that_ends_or_keeps_its_decoder_costs_its_own_score_alone() -> None:
    decoding = IsolatedDecoding(OddDecoding(), timeout_s=2.0)
    children = [os.getpid(), child_of(decoding)]
    assert child_of(decoding) == children[-1]
    for odd in (b"crash", b"hang"):
        refused = decoding(odd, SAID).rejected
        assert refused
        assert refused.reason is Reason.WORKER_FAILURE
        children.append(child_of(decoding))
    os.kill(children[-1], signal.SIGKILL)  # between two images, which costs none
    os.waitid(os.P_PID, children[-1], os.WEXITED | os.WNOWAIT)
    children.append(child_of(decoding))
    assert len(set(children)) == 5
    del decoding  # and its child goes with it
    with pytest.raises(ProcessLookupError):
        os.kill(children[-1], 0)


def test_a_decoder_that_cannot_start_is_no_image_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(StartError, match="does not start"):
        IsolatedDecoding(OddDecoding())


def test_an_image_that_needs_more_memory_than_it_may_is_refused() -> None:
    decoding = IsolatedDecoding(ImageDecoding({}, AssessmentPolicy()), most_memory=256 << 20)
    rejected = decoding(np.zeros((9000, 9000), dtype=np.uint8), replace(SAID, age_years=None)).rejected
    assert rejected
    assert rejected.reason is Reason.WORKER_FAILURE
    decoding.close()
