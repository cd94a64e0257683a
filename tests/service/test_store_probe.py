"""The probe of a store of other machines, by a clock of the test's."""

from __future__ import annotations

import threading

from tests.support.failing_buckets import Gate
from tests.support.wait import wait_for
from triage.service.store_probe import StoreProbe


class Question:
    """A question that counts how often it is asked, and has the answer that the test gives."""

    def __init__(self) -> None:
        self.asked, self.answer = 0, ""
        self.gate: Gate | None = None

    def __call__(self) -> str:
        self.asked += 1
        if self.gate is not None:
            self.gate.wait()
        return self.answer


def test_an_answer_counts_for_a_while_and_is_then_asked_for_again() -> None:
    question, now = Question(), [0.0]
    probe = StoreProbe(question, lambda: now[0], patience_s=60.0)
    assert [probe.why() for _ in range(100)] == [""] * 100
    assert question.asked == 1
    question.answer, now[0] = "the database cannot be used", 2.0
    wait_for(lambda: probe.why() == "the database cannot be used", "the next answer")
    assert question.asked == 2
    question.answer, now[0] = "", 600.0  # nobody has asked for long: an old answer is none
    assert probe.why() == ""
    assert question.asked == 3


def test_a_store_that_is_silent_is_told_without_waiting_for_it_and_asked_once() -> None:
    question, now = Question(), [0.0]
    probe = StoreProbe(question, lambda: now[0], patience_s=60.0)
    assert probe.why() == ""
    question.gate, now[0] = Gate(), 4.0
    assert probe.why() == ""  # the last answer is not old yet
    assert question.gate.reached.wait(60)
    now[0] = 90.0
    assert probe.why() == probe.why() == "the store has not answered for 86 s"
    assert question.asked == 2
    question.gate.opened.set()
    wait_for(lambda: probe.why() == "", "the answer")


def test_a_question_that_breaks_is_no_yes() -> None:
    def broken() -> str:
        raise ZeroDivisionError

    assert StoreProbe(broken, patience_s=60.0).why() == "the store cannot be asked: see the log"


def test_many_threads_ask_one_question() -> None:
    question, answers = Question(), list[str]()
    question.gate, question.answer = Gate(), "away"
    probe = StoreProbe(question, lambda: 0.0, patience_s=60.0)
    threads = [threading.Thread(target=lambda: answers.append(probe.why())) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert question.gate.reached.wait(60)
    question.gate.opened.set()
    for thread in threads:
        thread.join(60)
    assert answers == ["away"] * 8 and question.asked == 1
