"""Objects of STAT orders are scored before what came earlier, and do not keep all others waiting for ever."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from pydicom import dcmwrite
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.queue.test_priors import decided, models, place, sessions, signals  # noqa: F401
from tests.support.in_process_worker import Workplace
from tests.support.service import a_chest, is_done, read_bytes, receive
from triage.queue.score_queue import PRIORS, QUEUE, STAT
from triage.queue.stat_orders import is_stat
from triage.scoring.worker import STAT_IN_A_ROW
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool


def ordered(number: int, priority: str, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """A radiograph whose order has a priority."""
    dataset = read_bytes(a_chest(number))
    dataset.RequestedProcedurePriority = priority
    dataset.file_meta.TransferSyntaxUID = syntax
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize(
    ("said", "stat"), [("STAT", True), ("stat ", True), ("HIGH", True), ("ROUTINE", False), ("", False), ("X", False)]
)
def test_stat_is_what_says_so(spool: Spool, said: str, stat: bool, syntax: str) -> None:
    assert is_stat(spool, receive(spool, ordered(0, said, syntax))) is stat


def test_what_cannot_be_read_is_not_stat(spool: Spool) -> None:
    missing = ReceivedInstance("1.2", "1.2.3", "a" * 64)
    assert not is_stat(spool, missing)
    spool.inbox_path(missing).write_bytes(b"nothing")
    assert not is_stat(spool, missing)


def test_a_stat_study_waits_for_the_rest_of_one_batch_at_most(
    place: Workplace,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place.queued(*(a_chest(number) for number in range(20)))
    urgent = [receive(place.spool, ordered(100 + number, "STAT")) for number in range(2)]

    def arrive(count: int) -> None:
        if count == 6:  # while a batch of four is written, and the next one is scored or about to be
            for instance in urgent:
                place.jobs.enqueue(instance, stat=True)

    order = decided(place, monkeypatch, arrive)
    place.work(batch_size=4)
    assert sorted(map(order.index, (each.study_instance_uid for each in urgent))) in ([8, 9], [12, 13])
    assert len(order) == 22
    assert is_done(place.spool)
    taken = place.registry.get_sample_value
    assert taken("cxr_triage_jobs_taken_total", {"queue": STAT}) == 2
    assert taken("cxr_triage_jobs_taken_total", {"queue": QUEUE}) == 20


def test_a_sender_to_whom_all_is_stat_keeps_no_other_waiting_for_ever(
    place: Workplace,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others = place.queued(*(a_chest(number) for number in range(4)))
    for number in range(2 * STAT_IN_A_ROW + 2):
        place.jobs.enqueue(receive(place.spool, ordered(100 + number, "STAT")), stat=True)
    order = decided(place, monkeypatch, lambda count: None)
    place.work(batch_size=1)
    places = [order.index(instance.study_instance_uid) for instance in others]
    assert places == [0, 1 + STAT_IN_A_ROW, 2 + 2 * STAT_IN_A_ROW, 2 * STAT_IN_A_ROW + 5]


def test_one_that_comes_while_the_worker_begins_to_wait_is_no_later_for_it(place: Workplace) -> None:  # noqa: F811
    first, second = (receive(place.spool, ordered(number, "STAT")) for number in range(2))
    place.jobs.enqueue(first, stat=True)
    assert place.jobs.depths() == {QUEUE: 1, PRIORS: 0, STAT: 0}
    place.jobs.enqueue(second, stat=True)
    assert place.jobs.depths() == {QUEUE: 1, PRIORS: 0, STAT: 1}
    place.client.delete(f"rq:queue:{QUEUE}")  # the worker has taken it
    place.jobs.wake()
    assert place.jobs.depths() == {QUEUE: 1, PRIORS: 0, STAT: 0}


@pytest.mark.parametrize("lose", ["the jobs", "all of Redis"])
def test_one_whose_job_was_lost_is_stat_again(place: Workplace, lose: str) -> None:  # noqa: F811
    place.queued(a_chest(1))
    urgent = receive(place.spool, ordered(0, "STAT"))
    place.jobs.enqueue(urgent, stat=True)
    again: dict[str, Callable[[], Any]] = {
        "the jobs": lambda: place.client.delete(f"rq:queue:{STAT}"),
        "all of Redis": place.client.flushall,
    }
    again[lose]()
    place.queued(a_chest(2))
    place.sweep()
    assert place.jobs.depths()[STAT] == 1
    place.jobs.again(urgent)
    assert place.jobs.depths()[STAT] == 1
    place.work()
    assert is_done(place.spool)
