"""Lines that a stranger can cause: some of them are written."""

from __future__ import annotations

import logging

import pytest

from triage.runtime.seldom import Seldom


def test_a_kind_of_line_is_written_once_an_interval_with_the_number_of_those_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = [0.0]
    log = Seldom(logging.getLogger("triage.test"), 60.0, lambda: clock[0])
    for _ in range(1000):
        log.warning("%s knocks", "somebody")
    log.warning("%s knocks", "another", by="10.0.0.1")
    clock[0] = 60.0
    log.warning("%s knocks", "somebody")
    assert [record.getMessage() for record in caplog.records] == [
        "somebody knocks",
        "another knocks",
        "somebody knocks (999 more such lines since the last)",
    ]


def test_sources_without_number_take_no_memory_without_bound() -> None:
    log = Seldom(logging.getLogger("triage.test"))
    for number in range(5000):
        log.info("%s knocks", number, by=str(number))
    assert len(log._kinds) <= 1000
