"""Child processes that decode: one that crashes, hangs or raises costs its own object and no other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.wait import wait_for
from triage.runtime.child_pool import MOST_MEMORY, DecodePool, DecoderDiedError, Decoding

PATIENT_S = 120.0  # nothing here takes that long unless it hangs


@pytest.fixture
def pool() -> Iterator[DecodePool]:
    pool = DecodePool(2, PATIENT_S)
    yield pool
    pool.close()


def double(number: int) -> int:
    return 2 * number


def exit_at_once() -> None:
    os._exit(3)


def be_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    while True:  # as a decoder does: no signal that can be ignored ends it
        time.sleep(1)


def hang_once(begun: Path) -> int:
    if not begun.exists():
        begun.touch()
        hang()
    return 42


def be_killed_when(begun: Path) -> None:
    while not begun.exists():
        time.sleep(0.01)
    be_killed()


def fail(error: Exception) -> None:
    raise error


class UnreturnableError(Exception):
    """Cannot be unpickled: its arguments are not those that it is made from."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")


def unreturnable() -> None:
    raise UnreturnableError("a", "b")


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True) if is_decoder(child)}


def is_decoder(process: psutil.Process) -> bool:
    try:
        parent = process.parent()
        return parent is not None and "forkserver" in " ".join(parent.cmdline())
    except psutil.NoSuchProcess:  # ended while we looked
        return False


def outcomes(decodings: list[Decoding[Any]]) -> list[int | str]:
    found: list[int | str] = []
    for decoding in decodings:
        try:
            found.append(decoding.result())
        except Exception as error:
            found.append(type(error).__name__)
    return found


@pytest.mark.parametrize("deadly", [exit_at_once, be_killed, unreturnable])
def test_only_the_object_that_ends_its_decoder_fails(pool: DecodePool, deadly: Callable[[], None]) -> None:
    decodings = [pool.submit(double, number) for number in range(8)]
    decodings.insert(3, pool.submit(deadly))
    decodings.append(pool.submit(double, 8))
    assert outcomes(decodings) == [0, 2, 4, "DecoderDiedError", 6, 8, 10, 12, 14, 16]
    assert pool.submit(double, 21).result() == 42


def test_two_deadly_objects_are_both_blamed_and_what_was_begun_after_them_is_not(pool: DecodePool) -> None:
    first = [pool.submit(exit_at_once), pool.submit(double, 1), pool.submit(be_killed)]
    second = [pool.submit(double, 2), pool.submit(double, 3)]  # the worker's next batch, decoded meanwhile
    assert outcomes([*first, *second]) == ["DecoderDiedError", 2, "DecoderDiedError", 4, 6]


def test_only_the_object_that_hangs_fails_and_its_decoder_is_ended() -> None:
    others_pools = children()
    pool = DecodePool(2, timeout_s=3.0)
    pool.warm()
    hung = pool.submit(hang)
    others = [pool.submit(double, number) for number in range(6)]
    stuck = children() - others_pools
    with pytest.raises(DecoderDiedError):
        hung.result()
    assert outcomes(others) == [0, 2, 4, 6, 8, 10]
    wait_for(lambda: not stuck & children(), "the hung decoder to be ended")
    pool.close()


def test_what_starts_after_a_death_is_not_harmed_by_what_was_lost(pool: DecodePool) -> None:
    lost = [pool.submit(be_killed), *(pool.submit(double, number) for number in range(4))]
    with pytest.raises(DecoderDiedError):
        lost[0].result()
    later = [pool.submit(double, number) for number in range(4)]
    running = children()
    assert outcomes(lost[1:]) == [0, 2, 4, 6]
    assert outcomes(later) == [0, 2, 4, 6]
    assert running <= children()


def test_a_spare_decoder_that_died_with_nothing_to_do_blames_nobody(tmp_path: Path) -> None:
    others = children()
    pool = DecodePool(2, 15.0)  # if its death is noticed late, what hangs is alone in the spare one, and waits so long
    assert outcomes([pool.submit(be_killed), pool.submit(double, 1)]) == ["DecoderDiedError", 2]
    for spare in children() - others:  # the memory killer takes what it likes
        with suppress(ProcessLookupError):
            os.kill(spare, signal.SIGKILL)
    wait_for(lambda: children() <= others, "its end")
    begun = tmp_path / "begun"
    innocent, deadly = pool.submit(hang_once, begun), pool.submit(be_killed_when, begun)
    assert outcomes([innocent, deadly]) == [42, "DecoderDiedError"]
    pool.close()


@pytest.mark.parametrize("error", [ValueError("no image"), FileNotFoundError("gone"), TimeoutError("its own")])
def test_an_error_is_the_object_s_own_and_disturbs_no_decoder(error: Exception) -> None:
    pool = DecodePool(1, PATIENT_S)
    before = pool.submit(os.getpid).result()
    failing, after = pool.submit(fail, error), pool.submit(os.getpid)
    with pytest.raises(type(error), match=str(error)):
        failing.result()
    assert after.result() == pool.submit(os.getpid).result() == before
    pool.close()


def test_an_object_that_claims_all_memory_fails_alone(pool: DecodePool) -> None:
    greedy = pool.submit(bytearray, MOST_MEMORY)
    assert pool.submit(double, 4).result() == 8
    with pytest.raises(MemoryError):
        greedy.result()


def test_closing_ends_a_decoder_that_hangs() -> None:
    others_pools = children()
    pool = DecodePool(1, PATIENT_S)
    pool.warm()
    hanging = children() - others_pools
    pool.submit(hang)
    pool.close()
    wait_for(lambda: not hanging & children(), "the children to end")


def test_no_decoder_outlives_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert parent.stdout is not None
    with parent.stdout as output:
        decoder = psutil.Process(int(output.readline()))
        assert decoder.is_running()
        parent.kill()
        parent.wait()
        wait_for(lambda: not decoder.is_running() or decoder.status() == psutil.STATUS_ZOMBIE, "the decoder to end")


_PARENT = """
import os, time
from triage.runtime.child_pool import DecodePool
pool = DecodePool(1, 60.0)
print(pool.submit(os.getpid).result(), flush=True)
time.sleep(600)
"""
