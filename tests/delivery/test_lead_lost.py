"""A deliverer whose place another one has: it waits for no answer, so that its connections end with it."""

from __future__ import annotations

import threading

import pytest

from triage.delivery import deliverer
from triage.runtime.progress import ProgressWatch


class Hangs:
    """A destination that does not answer until ``answers`` is set."""

    name = "ris"

    def __init__(self) -> None:
        self.begun, self.answers = threading.Event(), threading.Event()

    def round(self) -> None:
        self.begun.set()
        self.answers.wait(60)


@pytest.mark.parametrize("answers", [False, True])
def test_an_answer_is_waited_for_unless_another_one_leads(monkeypatch: pytest.MonkeyPatch, answers: bool) -> None:
    """Without the lead it returns while the destination hangs; with it, for as long as it may, only afterwards."""
    monkeypatch.setattr(deliverer, "_GRACE_S", 50.0)
    destination, asked = Hangs(), threading.Event()

    def lead_lost() -> bool:
        if answers:
            destination.answers.set()
        asked.set()
        return not answers

    progress = {"ris": ProgressWatch("delivering", 900.0)}
    try:
        is_over = deliverer.run([destination], destination.begun.is_set, lambda _: None, 0.0, progress, lead_lost)
        assert is_over is answers
        assert asked.is_set()
    finally:
        destination.answers.set()
