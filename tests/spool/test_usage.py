"""The state of the spool, and the gauges that show it."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry

from tests.support.builders import an_instance
from triage.metrics.sweep import SweepMetrics
from triage.service.sweep import export_state
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.spool.usage import read_state


def receive(spool: Spool, instance: ReceivedInstance, content: bytes = b"12345") -> None:
    part = spool.new_part()
    part.write_bytes(content)
    with part.open("rb") as file:
        assert spool.receive(part, file.fileno(), instance)


def test_an_empty_spool_waits_for_nothing(spool: Spool):
    state = read_state(spool)

    assert (state.inbox.objects, state.inbox.size_bytes, state.inbox.oldest) == (0, 0, None)
    assert state.usage.free_bytes > 0


def test_it_counts_what_waits_and_what_is_dead_but_not_what_is_filed(spool: Spool):
    filed, dead, waiting = (an_instance(sop=f"1.2.3.{number}") for number in range(3))
    for instance in (filed, dead, waiting):
        receive(spool, instance)
    spool.file(filed)
    spool.bury(dead, {"error": "why"})
    os.utime(spool.inbox_path(waiting), (1000.0, 1000.0))

    state = read_state(spool)

    assert (state.inbox.objects, state.inbox.size_bytes, state.inbox.oldest) == (1, 5, 1000.0)
    assert (state.dead.objects, state.dead.size_bytes) == (1, 5)


def test_the_gauges_say_the_same(spool: Spool):
    receive(spool, an_instance())
    os.utime(spool.inbox_path(an_instance()), (1000.0, 1000.0))
    registry = CollectorRegistry()
    export_state(read_state(spool), SweepMetrics(registry))

    assert registry.get_sample_value("cxr_triage_inbox_objects") == 1
    assert registry.get_sample_value("cxr_triage_spool_bytes", {"folder": "inbox"}) == 5
    assert registry.get_sample_value("cxr_triage_oldest_untagged_timestamp_seconds") == 1000
    assert registry.get_sample_value("cxr_triage_dead_letters") == 0
    free = registry.get_sample_value("cxr_triage_spool_free_bytes")
    assert free is not None
    assert free > 0
