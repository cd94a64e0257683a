"""Threads that last as long as their process: none ends by an error, and every other one has a reason not to last."""

from __future__ import annotations

import ast
import logging
import threading
from pathlib import Path

import pytest

from triage.runtime.lasting_thread import lasting_thread

REPOSITORY = Path(__file__).parents[2]
OTHERS = {
    "triage/delivery/deliverer.py": "each round catches every error, tells of it at /readyz, and the next one comes",
    "triage/listener/enqueuer.py": "each object catches every error; the sweep finds what is not queued",
    "triage/model/run_deadline.py": "ends with the runs that it watches; the next run begins one anew",
    "triage/plugins/bounded_call.py": "one call",
    "triage/service/store_probe.py": "one question, every error of which is an answer",
    "triage/runtime/accept_loop.py": "one connection",
    "triage/runtime/deadline.py": "one exchange",
    "triage/runtime/health.py": "without it the process answers no probe, which every supervisor sees",
    "triage/runtime/lasting_thread.py": "the mechanism",
    "triage/runtime/process_pool.py": "waits for the parent's end, and ends the process",
    "triage/web/auth/oidc/provider_calls.py": "one exchange",
}
"""Files with threads of another kind, and why these may be."""


class Work:
    """Fails as often as it is told to, and then ends."""

    def __init__(self, failures: int) -> None:
        self.left, self.pauses, self.done = failures, list[float](), threading.Event()

    def __call__(self) -> None:
        if self.left:
            self.left -= 1
            raise KeyError("DOE^JANE")
        self.done.set()

    def go_on(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        return len(self.pauses) < 8


def ended(work: Work) -> None:
    thread = lasting_thread("follower", work, work.go_on)
    assert thread.daemon and thread.name == "follower"
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


def test_it_begins_again_after_an_error_that_is_told_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    ended(work := Work(3))
    assert work.done.is_set() and work.pauses == [1.0, 2.0, 4.0]
    told = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert len(told) == 3 and "the thread follower failed (KeyError in test_lasting_thread.py, line" in told[0]
    assert "DOE" not in caplog.text


def test_it_ends_when_it_is_no_more_wanted_and_waits_a_minute_at_most() -> None:
    ended(work := Work(1000))
    assert work.pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_work_that_has_ended_is_not_begun_again() -> None:
    ended(work := Work(0))
    assert work.done.is_set() and work.pauses == []


def test_no_thread_is_started_elsewhere_without_a_reason() -> None:
    found = {
        str(path.relative_to(REPOSITORY))
        for path in (REPOSITORY / "triage").rglob("*.py")
        if any(map(starts_thread, ast.walk(ast.parse(path.read_text()))))
    }
    assert found == set(OTHERS)


def starts_thread(node: ast.AST) -> bool:
    """Whether it makes a thread of Python's, by whichever name of the class."""
    if not isinstance(node, ast.Call):
        return False
    made = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return made in ("Thread", "Timer")
