"""Writing of one batch while the next one is scored: order, errors, and that nothing is left under way at the end."""

from __future__ import annotations

import logging
import threading

import pytest

from triage.scoring.settler import Settler

PATIENCE_S = 60.0


def refused(batch: str) -> None:
    """Refuse to write anything."""
    raise OSError(28, f"no room for {batch}")


def test_a_batch_is_written_while_its_caller_goes_on() -> None:
    gone_on, written = threading.Event(), []

    def settle(batch: str) -> None:
        assert gone_on.wait(PATIENCE_S)
        written.append(batch)

    with Settler(settle) as settler:
        settler.begin("first")
        assert written == []
        gone_on.set()
    assert written == ["first"]


def test_a_batch_is_written_after_the_one_before_it() -> None:
    begun: list[int] = []
    finished: list[int] = []

    def settle(batch: int) -> None:
        assert finished == begun
        begun.append(batch)
        finished.append(batch)

    with Settler(settle) as settler:
        for batch in range(50):
            (settler.settle if batch % 3 == 2 else settler.begin)(batch)
            assert finished[:batch] == list(range(batch))
    assert finished == list(range(50))


@pytest.mark.parametrize("following", ["begin", "settle"])
def test_an_error_is_raised_before_the_next_batch_is_written(following: str) -> None:
    written = []

    def settle(batch: str) -> None:
        if batch == "first":
            refused(batch)
        written.append(batch)

    with pytest.raises(OSError, match="no room for first"), Settler(settle) as settler:
        settler.begin("first")
        getattr(settler, following)("second")
    assert written == []


def test_the_error_of_the_last_batch_is_raised_at_the_end() -> None:
    with pytest.raises(OSError, match="no room for last"), Settler(refused) as settler:
        settler.begin("last")


def test_an_error_of_the_caller_waits_for_the_batch_and_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.ERROR),
        pytest.raises(ValueError, match="the caller's own"),
        Settler(refused) as settler,
    ):
        settler.begin("last")
        raise ValueError("the caller's own")
    assert "a batch could not be written either" in caplog.text
