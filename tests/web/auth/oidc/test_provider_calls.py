"""Calls of the provider take few threads, and no request waits for one that never ends."""

from __future__ import annotations

import asyncio
import threading

import pytest

from triage.web.auth.oidc import provider_calls
from triage.web.auth.oidc.errors import NotSignedInError, SignInProblem
from triage.web.auth.oidc.provider_calls import ProviderCalls


def test_a_call_that_never_ends_is_given_up_and_holds_its_seat_until_it_does(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(provider_calls, "_GRACE_S", 0.0)
    released = threading.Event()

    async def tried() -> list[SignInProblem]:
        few, found = ProviderCalls(at_once=2, per_address=1), []
        for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"):
            with pytest.raises(NotSignedInError) as refused:
                await few.run(address, lambda: released.wait(20), 0.05)
            found.append(refused.value.problem)
        released.set()
        while True:  # the threads end a moment later
            try:
                assert await few.run("192.0.2.3", lambda: "done", 10) == "done"
                return found
            except NotSignedInError:
                await asyncio.sleep(0.01)

    assert asyncio.run(tried()) == [
        SignInProblem.UNREACHABLE,
        SignInProblem.CROWDED,
        SignInProblem.UNREACHABLE,
        SignInProblem.CROWDED,
    ]


def test_what_a_call_raises_is_raised_and_frees_the_seat():
    def fail() -> None:
        raise KeyError("a defect")

    async def tried() -> None:
        few = ProviderCalls(at_once=1)
        for _ in range(3):
            with pytest.raises(KeyError):
                await few.run("", fail, 10)

    asyncio.run(tried())
