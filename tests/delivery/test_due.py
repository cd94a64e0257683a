"""What is handed out to the connections of a destination, and in which order."""

from __future__ import annotations

import threading
from dataclasses import replace

from tests.support.wait import wait_for
from triage.delivery.due import DueMessages
from triage.delivery.record import OutgoingObject


def message(study: int, number: int = 1, due: int = 0) -> OutgoingObject:
    return OutgoingObject(due, 0, number, f"1.2.{study}", f"{study:031d}{number}", "pacs")


class Outbox:
    """What waits; of each study the first message is due."""

    def __init__(self, *waiting: OutgoingObject) -> None:
        self.waiting, self.looks = list(waiting), 0

    def __call__(self) -> list[OutgoingObject]:
        self.looks += 1
        first: dict[str, OutgoingObject] = {}
        for each in sorted(self.waiting, key=lambda each: each.number):
            first.setdefault(each.study_instance_uid, each)
        return sorted(first.values())


def due(outbox: Outbox, *to_build: int) -> DueMessages:
    return DueMessages(outbox, [f"1.2.{each}" for each in to_build], lambda: False)


def test_each_is_handed_out_once_and_the_next_of_a_study_when_the_first_is_settled():
    outbox = Outbox(message(1), message(1, 2), message(2, due=5))
    handing = due(outbox)
    assert [handing.take(), handing.take()] == [message(1), message(2, due=5)]
    outbox.waiting.remove(message(1))
    handing.settled(message(1))
    handing.all_built()
    assert [handing.take(), handing.take()] == [message(1, 2), None]


def test_an_older_one_that_is_requeued_meanwhile_waits_until_the_newer_one_is_settled():
    outbox = Outbox(message(1, 2))
    handing = due(outbox)
    assert handing.take() == message(1, 2)
    outbox.waiting.append(message(1))
    handing.built("1.2.9")
    assert not handing.any()
    outbox.waiting.remove(message(1, 2))
    handing.settled(message(1, 2))
    assert handing.take() == message(1)


def test_while_the_first_of_a_study_is_being_sent_the_second_is_not():
    outbox = Outbox(message(1), message(1, 2))
    handing = due(outbox)
    assert handing.take() == message(1)
    handing.all_built()
    assert handing.take() is None


def test_nothing_of_a_study_leaves_before_its_newer_result_is_built():
    outbox = Outbox(message(1), message(2))
    handing = due(outbox, 1, 2)
    assert not handing.any()
    outbox.waiting[0] = message(1, 2)  # the newer result has taken the place of the older one
    handing.built("1.2.1")
    assert handing.take() == message(1, 2)
    handing.all_built()
    assert handing.take() is None  # the time to build was up before the second study


def test_who_waits_gets_what_is_built_meanwhile():
    outbox = Outbox()
    handing, got = due(outbox, 1), []
    waiting = threading.Thread(target=lambda: got.append(handing.take()))
    waiting.start()
    wait_for(lambda: outbox.looks, "the first look")
    outbox.waiting.append(message(1))
    handing.built("1.2.1")
    waiting.join()
    assert got == [message(1)]


def test_a_further_connection_is_for_what_the_first_leaves():
    handing = due(Outbox(message(1), message(2)))
    assert handing.wait_for_one()
    handing.opened()
    assert handing.wait_for_many(2) and handing.take() == message(1)
    handing.all_built()
    assert not handing.wait_for_many(2)
    assert handing.take() == message(2)


def test_a_further_connection_waits_for_the_first_and_is_not_opened_if_that_fails():
    handing, opened = due(Outbox(message(1), message(2))), []
    handing.all_built()
    waiting = threading.Thread(target=lambda: opened.append(handing.wait_for_many(2)))
    waiting.start()
    handing.stop()
    waiting.join()
    assert opened == [False]


def test_after_a_stop_there_is_nothing_and_the_first_to_stop_is_known():
    handing = due(Outbox(message(1)))
    assert (handing.stop(), handing.stop()) == (True, False)
    assert handing.take() is None


def test_what_is_put_off_meanwhile_may_be_handed_out_again_when_it_is_due():
    outbox = Outbox(message(1))
    handing = due(outbox)
    assert handing.take() == message(1)
    again = replace(message(1), due=9, tries=1)
    outbox.waiting[:] = [again]
    handing.settled(message(1))
    handing.all_built()
    assert [handing.take(), handing.take()] == [again, None]


def test_many_that_wait_are_listed_once_and_not_for_each_that_is_built():
    outbox = Outbox(*map(message, range(1, 51)))
    handing = due(outbox, *range(100, 150))
    for study in range(100, 150):
        handing.built(f"1.2.{study}")
        assert handing.take()
    assert outbox.looks <= 2
