"""Rejection notes in a worker: they take images out of the decision, whichever of both comes first."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.support.in_process_worker import Workplace
from tests.support.redis_server import RedisServer
from tests.support.rejection_notes import a_bare_note, a_note, file_of
from tests.support.service import a_chest, is_done
from tests.support.tiny_adult import sessions
from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.model.session import ModelSession
from triage.operations.explain import explanation
from triage.operations.trace import gather
from triage.runtime.child_pool import DecodePool
from triage.spool.spool import Spool

__all__ = ["sessions"]  # a fixture


@pytest.fixture
def place(
    spool: Spool, redis_server: RedisServer, sessions: dict[str, ModelSession], pool: DecodePool
) -> Iterator[Workplace]:
    return Workplace(spool, redis_server, sessions, pool)


def opened(data: bytes) -> Dataset:
    return dcmread(BytesIO(data))


@pytest.mark.parametrize("note_first", [False, True])
def test_a_note_takes_its_image_out_and_is_shown(place: Workplace, note_first: bool) -> None:
    chest = a_chest(1)
    note = a_note([opened(chest)], "113037")
    files = (file_of(note), chest) if note_first else (chest, file_of(note))
    for each in files:
        place.queued(each)
        place.work()
    study = str(note.StudyInstanceUID)

    assert place.tags() == {study: (Tag.NOT_ASSESSED, (Reason.REJECTED,))}
    assert is_done(place.spool)
    page = explanation(gather(study, place.spool), now=2e9)
    assert f"Rejected for Patient Safety Reasons (113037) by note {note.SOPInstanceUID}" in page
    assert "rejection note, Rejected for Patient Safety Reasons (113037): it names 1 image of this study" in page


def test_a_note_of_another_study_changes_nothing_and_is_logged(place: Workplace, caplog: Any) -> None:
    chest = a_chest(2)
    image = opened(chest)
    foreign = a_bare_note("1.2.3.99", [str(image.SOPInstanceUID)])
    foreign.CurrentRequestedProcedureEvidenceSequence[0].StudyInstanceUID = image.StudyInstanceUID
    place.queued(chest, file_of(foreign))
    place.work()

    tags = place.tags()
    assert tags[str(image.StudyInstanceUID)] == (Tag.NORMAL, ())
    assert tags["1.2.3.99"] == (Tag.NOT_ASSESSED, (Reason.NO_FRONTAL_IMAGE,))
    assert "it takes no image out of the decision: it names images of another study" in caplog.text
