"""Sessions: one suite for files and for the database."""

from __future__ import annotations

import time

import pytest
from starlette.exceptions import HTTPException

from tests.support.access_places import Places, PlacesInDatabase
from triage.web.auth.sessions import ProviderSession, SessionTimes

TIMES = SessionTimes(1800.0, 36_000.0, 300.0)
NO_LOCK = SessionTimes(1800.0, 36_000.0)


def test_a_session_of_one_process_is_that_of_the_other(places: Places) -> None:
    here, there = places.sessions(NO_LOCK), places.sessions(NO_LOCK)
    token = here.begin("ann", "stamp")
    found = there.find(token, active=True)
    assert found is not None and (found.user, found.stamp, found.provided) == ("ann", "stamp", None)
    assert found.began == pytest.approx(time.time(), abs=60)
    provided = ProviderSession("reader", "an.id.token")
    other = there.begin("bob", "digest", provided)
    assert (again := here.find(other, active=False)) is not None and again.provided == provided
    there.end(token)
    assert here.find(token, active=True) is None
    assert here.find(other, active=True) is not None


def test_what_is_no_token_is_no_session(places: Places) -> None:
    sessions = places.sessions(TIMES)
    token = sessions.begin("ann", "1")
    for wrong in ("", "x", "../" + token, token[:-1], token + "a", "A" * 43):
        assert sessions.find(wrong, active=True) is None
        assert not sessions.is_locked(wrong)
        sessions.end(wrong)
        sessions.lock(wrong)
    assert sessions.find(token, active=False) is not None


def test_a_session_ends_when_nothing_is_done_and_in_any_case_at_last(places: Places) -> None:
    sessions = places.sessions(NO_LOCK)
    token = sessions.begin("ann", "1")
    for _ in range(3):
        places.pass_time(1700)
        assert sessions.find(token, active=True) is not None  # that extends it
    places.pass_time(1700)
    assert sessions.find(token, active=False) is not None  # that does not
    places.pass_time(200)
    assert sessions.find(token, active=True) is None
    token = sessions.begin("ann", "1")
    for _ in range(21):
        places.pass_time(1700)
        assert sessions.find(token, active=True) is not None
    places.pass_time(1700)
    assert sessions.find(token, active=True) is None


def test_a_lock_holds_in_both_processes_until_it_ends_as_an_idle_one_does(places: Places) -> None:
    here, there = places.sessions(TIMES), places.sessions(TIMES)
    token = here.begin("ann", "1")
    places.pass_time(200)
    assert here.find(token, active=True) is not None
    places.pass_time(200)
    assert there.find(token, active=False) is not None and not there.is_locked(token)
    there.lock(token)
    for each in (here, there):
        assert each.find(token, active=True) is None and each.is_locked(token)
    places.pass_time(1600)
    assert not here.is_locked(token) and here.find(token, active=True) is None
    token = here.begin("ann", "1")
    places.pass_time(301)
    assert here.find(token, active=True) is None and there.is_locked(token)
    never = places.sessions(NO_LOCK)
    token = never.begin("ann", "1")
    never.lock(token)
    places.pass_time(1700)
    assert never.find(token, active=False) is not None and not never.is_locked(token)


def test_all_sessions_or_those_of_a_user_are_ended(places: Places) -> None:
    sessions = places.sessions(NO_LOCK)
    tokens = [sessions.begin(user, "1") for user in ("ann", "ann", "bob")]
    assert places.sessions(NO_LOCK).end_all("ann") == 2
    assert [sessions.find(each, active=False) is not None for each in tokens] == [False, False, True]
    assert sessions.end_all() == 1
    assert sessions.end_all() == 0


def test_the_database_has_digests_of_tokens_and_no_session_that_ended(shared: PlacesInDatabase) -> None:
    sessions = shared.sessions(NO_LOCK)
    token = sessions.begin("ann", "1")
    ((row,),) = shared.run("SELECT CAST(session AS text) FROM session WHERE tenant = :tenant")
    assert token not in str(row) and "ann" in str(row)
    shared.pass_time(3600)
    sessions.begin("bob", "1")
    assert shared.run("SELECT user_name FROM session WHERE tenant = :tenant") == [["bob"]]


def test_the_time_of_a_session_is_the_databases(shared: PlacesInDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    sessions = shared.sessions(TIMES)
    token = sessions.begin("ann", "1")
    for off in (-90.0, 90.0, 7200.0):
        monkeypatch.setattr(time, "time", lambda off=off: real() + off)
        assert sessions.find(token, active=True) is not None and not sessions.is_locked(token)


def test_a_request_at_another_host_does_not_open_what_was_locked_meanwhile(shared: PlacesInDatabase) -> None:
    here, there = shared.sessions(TIMES), shared.sessions(TIMES)
    token = here.begin("ann", "1")
    shared.pass_time(100)
    there.lock(token)
    here._extend(token)  # as of a request that had found it unlocked
    assert here.is_locked(token)


def test_a_database_that_takes_no_changes_signs_nobody_out(shared: PlacesInDatabase) -> None:
    sessions = shared.sessions(NO_LOCK)
    token = sessions.begin("ann", "1")
    shared.pass_time(100)
    shared.server.set("default_transaction_read_only", "on")
    try:
        fresh = shared_sessions_of(shared)
        assert fresh.find(token, active=True) is not None
        with pytest.raises(HTTPException) as refused:
            fresh.end(token)
        assert refused.value.status_code == 503
    finally:
        shared.server.set("default_transaction_read_only", "off")


def shared_sessions_of(shared: PlacesInDatabase):
    from triage.spool.cluster.shared_rows import SharedRows
    from triage.web.auth.database_sessions import DatabaseSessions

    return DatabaseSessions(SharedRows(shared.server.address("postgres"), shared.tenant), NO_LOCK)
