"""Order of the queue for passwords, and the attempts that it refuses."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from triage.web.auth.password_queue import PasswordQueue, QueueFullError


async def _held(queue: PasswordQueue, done: list[str], name: str, place: str, rank: int, known: bool = False) -> None:
    async with queue.slot(place, rank, known=known):
        await asyncio.sleep(0)
        done.append(name)


def test_who_has_fewest_wrong_tries_is_next():
    async def go() -> list[str]:
        queue, done = PasswordQueue(), list[str]()
        tasks = [asyncio.create_task(_held(queue, done, f"guess {n}", f"10.0.0.{n}", rank=5)) for n in range(10)]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(_held(queue, done, "owner", "10.1.1.1", rank=0)))
        await asyncio.gather(*tasks)
        return done

    done = asyncio.run(go())
    assert len(done) == 11
    assert done.index("owner") <= 2  # behind one that was being compared, and one that was begun just then


def test_one_address_fills_no_room_and_a_full_room_makes_way():
    async def go() -> tuple[list[str], int]:
        queue, done, crowded = PasswordQueue(per_address=2, in_total=4), list[str](), 0
        places = ["10.0.0.1"] * 6 + ["10.0.0.2", "10.0.0.3", "10.0.0.4"]
        tasks = [asyncio.create_task(_held(queue, done, place, place, rank=3)) for place in places]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(_held(queue, done, "owner", "10.1.1.1", rank=0)))
        for each in await asyncio.gather(*tasks, return_exceptions=True):
            crowded += isinstance(each, QueueFullError)
        return done, crowded

    done, crowded = asyncio.run(go())
    assert "owner" in done
    assert done.count("10.0.0.1") <= 3
    assert len(done) + crowded == 10


def test_who_came_in_from_there_before_waits_beside_those_who_guess_there():
    async def go() -> list[str]:
        queue, done = PasswordQueue(per_address=2), list[str]()
        tasks = [asyncio.create_task(_held(queue, done, f"guess {n}", "a", rank=9)) for n in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError):
            await _held(queue, done, "stranger", "a", rank=9)
        await _held(queue, done, "owner", "a", rank=0, known=True)
        await asyncio.gather(*tasks)
        return done

    assert asyncio.run(go())[1] == "owner"


def test_who_goes_away_while_waiting_keeps_nobody_waiting():
    async def go() -> list[str]:
        queue, done = PasswordQueue(), list[str]()
        tasks = [asyncio.create_task(_held(queue, done, str(n), "a", rank=0)) for n in range(4)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        tasks[0].cancel()
        with suppress(asyncio.CancelledError):
            await tasks[0]
        await asyncio.gather(*tasks[2:])
        await _held(queue, done, "last", "a", rank=0)
        return done

    assert asyncio.run(go()) == ["3", "2", "last"]


def test_of_equals_the_last_is_next_and_nobody_waits_for_ever():
    async def go() -> tuple[list[str], int]:
        queue, done, crowded = PasswordQueue(timeout_s=0.2), list[str](), 0

        async def slow() -> None:
            async with queue.slot("x", 0):
                await asyncio.sleep(0.5)

        tasks = [asyncio.create_task(slow())]
        await asyncio.sleep(0)
        tasks += [asyncio.create_task(_held(queue, done, str(n), f"10.0.0.{n}", rank=0)) for n in range(3)]
        for each in await asyncio.gather(*tasks, return_exceptions=True):
            crowded += isinstance(each, QueueFullError)
        tasks = [asyncio.create_task(_held(queue, done, str(n), f"10.0.0.{n}", rank=0)) for n in range(4)]
        await asyncio.gather(*tasks)
        return done, crowded

    done, crowded = asyncio.run(go())
    assert crowded == 3
    assert (len(done), done[-1]) == (4, "1")
