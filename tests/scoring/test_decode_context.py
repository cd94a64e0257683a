"""What decode processes need with every object, pickled once."""

from __future__ import annotations

import pickle
from pathlib import Path

from tests.support.model_folders import write_model
from triage.scoring.assess import AssessmentPolicy
from triage.scoring.decode_context import DecodeContext


def test_cards_and_policy_come_out_as_they_went_in_and_are_opened_once_for_the_same_bytes(tmp_path: Path) -> None:
    card, policy = write_model(tmp_path, "tiny-adult"), AssessmentPolicy()
    sent = [pickle.loads(pickle.dumps(DecodeContext.of({card.name: card}, policy))) for _ in range(2)]  # noqa: S301
    assert sent[0].opened() == ({card.name: card}, policy)
    assert sent[0].opened() is sent[1].opened()
    assert DecodeContext.of({}, policy).opened() == ({}, policy)
