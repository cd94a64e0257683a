"""A document of the provider is cached for a while and fetched by one thread at a time."""

from __future__ import annotations

import threading
import time

import pytest

from triage.web.auth.oidc.document_cache import CachedDocument
from triage.web.auth.oidc.errors import NotSignedInError, unreachable


class Clock:
    def __init__(self) -> None:
        self.at = 1000.0
        self.fetched = 0
        self.fails = False
        self.kept = CachedDocument(self.fetch, lambda: self.at)

    def fetch(self, until: float) -> int:
        self.fetched += 1
        if self.fails:
            raise unreachable("it is down")
        return self.fetched

    def get(self, *, renewed: bool = False) -> int:
        return self.kept.get(time.monotonic() + 10, renewed=renewed)


def test_a_value_is_kept_for_an_hour_and_no_longer_whatever_became_of_its_provider():
    clock = Clock()
    assert [clock.get(), clock.get()] == [1, 1]
    clock.at += 3599
    assert clock.get() == 1
    clock.at += 1
    clock.fails = True
    with pytest.raises(NotSignedInError):
        clock.get()


def test_a_newer_one_is_asked_for_once_a_minute_and_after_the_first_at_once():
    clock = Clock()
    assert [clock.get(), clock.get(renewed=True), clock.get(renewed=True)] == [1, 2, 2]
    clock.at += 60
    assert [clock.get(), clock.get(renewed=True)] == [2, 3]


def test_a_failure_counts_for_five_seconds_and_keeps_what_was_there():
    clock = Clock()
    clock.fails = True
    for _ in range(3):
        with pytest.raises(NotSignedInError, match="it is down"):
            clock.get()
    assert clock.fetched == 1
    clock.at += 5
    clock.fails = False
    assert clock.get() == 2
    clock.fails = True
    with pytest.raises(NotSignedInError):
        clock.get(renewed=True)
    assert clock.get() == 2


def test_who_waits_for_another_s_asking_gives_up_at_the_deadline():
    asking, released = threading.Event(), threading.Event()

    def fetch(until: float) -> int:
        asking.set()
        released.wait(20)
        return 1

    kept = CachedDocument(fetch)
    first = threading.Thread(target=kept.get, args=(time.monotonic() + 20,))
    first.start()
    try:
        assert asking.wait(20)
        with pytest.raises(NotSignedInError, match="in time"):
            kept.get(time.monotonic() + 0.1)
    finally:
        released.set()
        first.join()
