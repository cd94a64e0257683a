"""The limit on lines that strangers cause."""

from __future__ import annotations

import logging

import pytest

from triage.runtime.log_limit import LogLimit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_line_that_comes_too_often_is_left_out_counted_and_said(caplog: pytest.LogCaptureFixture):
    clock = Clock()
    caplog.handler.addFilter(limit := LogLimit(["strangers"], lines=5, window_s=60, now=clock))
    log = logging.getLogger("strangers.port")
    try:
        for number in range(1000):
            log.warning("refused %d", number)
            logging.getLogger("strangers").warning("another line, number %d", number)
            logging.getLogger("ours").warning("study %d", number)
        assert sum(each.getMessage().startswith("refused") for each in caplog.records) == 5
        assert sum(each.getMessage().startswith("another") for each in caplog.records) == 5
        assert sum(each.getMessage().startswith("study") for each in caplog.records) == 1000
        clock.now = 61
        caplog.clear()
        for number in range(3):
            logging.getLogger("strangersx").warning("not below it")
            _refused(log, number)
    finally:
        caplog.handler.removeFilter(limit)
    assert [each.getMessage() for each in caplog.records if each.name == "strangers.port"] == [
        "again 0",
        "again 1",
        "again 2",
    ]


def _refused(log: logging.Logger, number: int) -> None:
    log.warning("again %d", number)


def test_the_next_line_after_a_while_says_how_many_were_left_out(caplog: pytest.LogCaptureFixture):
    clock = Clock()
    caplog.handler.addFilter(limit := LogLimit(["strangers"], lines=2, window_s=60, now=clock))
    try:
        for number in range(10):
            _refused(logging.getLogger("strangers"), number)
        clock.now = 60
        _refused(logging.getLogger("strangers"), 10)
    finally:
        caplog.handler.removeFilter(limit)
    said = [each.getMessage() for each in caplog.records]
    assert said == ["again 0", "again 1", "again 10 (8 lines like this one were left out before)"]
