"""The pool that decodes, with children that really die and hang."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.waiting import wait_for
from triage.decoding import DecodePool, DecoderDiedError


def double(number: int) -> int:
    return 2 * number


def die(_number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def hang(_number: int) -> int:
    signal.pause()
    return 0


def complain(number: int) -> int:
    raise ValueError(number)


@pytest.fixture
def pool() -> Iterator[DecodePool]:
    pool = DecodePool(2, 60.0)
    yield pool
    pool.close()


def test_what_a_function_raises_is_raised(pool: DecodePool) -> None:
    with pytest.raises(ValueError, match="7"):
        pool.submit(complain, 7).result()


def test_only_the_object_that_kills_its_child_is_blamed(pool: DecodePool) -> None:
    deadly = {3, 11}
    batch = [pool.submit(die if number in deadly else double, number) for number in range(16)]
    upcoming = [pool.submit(double, number) for number in range(16)]  # in the same children, and lost with them
    for number, decoding in enumerate(batch):
        if number in deadly:
            with pytest.raises(DecoderDiedError):
                decoding.result()
        else:
            assert decoding.result() == 2 * number
    assert [decoding.result() for decoding in upcoming] == [2 * number for number in range(16)]


def test_what_starts_after_a_death_is_not_harmed_by_what_was_lost(pool: DecodePool) -> None:
    lost = [pool.submit(die, 0)] + [pool.submit(double, number) for number in range(4)]
    with pytest.raises(DecoderDiedError):
        lost[0].result()
    later = [pool.submit(double, number) for number in range(4)]
    children = set(pool._many._processes) if pool._many and pool._many._processes else set()
    assert [decoding.result() for decoding in lost[1:]] == [0, 2, 4, 6]
    assert [decoding.result() for decoding in later] == [0, 2, 4, 6]
    assert pool._many is not None
    assert children <= set(pool._many._processes or {})


def test_a_decoder_that_hangs_fails_alone() -> None:
    pool = DecodePool(1, 3.0)
    try:
        hung, waiting = pool.submit(hang, 0), pool.submit(double, 4)
        with pytest.raises(DecoderDiedError):
            hung.result()
        assert waiting.result() == 8
    finally:
        pool.close()


OWNER = """
import signal
from triage.decoding import DecodePool
pool = DecodePool(2, 60.0)
pool.warm()
print("warm", flush=True)
signal.pause()
"""


def test_children_end_with_a_worker_that_is_killed(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE)
    try:
        assert owner.stdout
        assert owner.stdout.readline() == b"warm\n"
        family = psutil.Process(owner.pid).children(recursive=True)
        assert len(family) >= 3  # the fork server and its two children
    finally:
        owner.kill()
        owner.wait()
        assert owner.stdout
        owner.stdout.close()
    wait_for(lambda: not [each for each in family if _runs(each)], "the children to end")


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
