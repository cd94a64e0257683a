"""The throttle of password guesses: one suite for that of a process and for that of all hosts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from starlette.exceptions import HTTPException

from tests.support.access_places import Places, PlacesInDatabase
from triage.web.auth.sign_in_facts import DatabaseStates, DatabaseThrottle
from triage.web.auth.used_states import ProcessStates

LEISURE_S = 60.0


def test_waits_grow_end_and_are_forgotten(places: Places) -> None:
    throttle = places.throttle()
    for _ in range(5):
        assert throttle.begin("ann", "192.0.2.1") <= 0
    for wait_s in (1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300):
        places.pass_time(-LEISURE_S)  # a second is over before a busy machine has asked
        wait = throttle.begin("ANN", "192.0.2.1")
        assert wait_s < wait < wait_s + LEISURE_S + 1
        assert throttle.standing("ann", "192.0.2.1").wait_s > 0
        places.pass_time(wait)
        assert throttle.begin("ann", "192.0.2.1") <= 0
    assert throttle.begin("ann", "192.0.2.2") <= 0  # attempts from another address lock no user out
    places.pass_time(3601)
    assert throttle.begin("ann", "192.0.2.1") <= 0
    throttle.succeeded("ann", "192.0.2.1")
    assert throttle.standing("ann", "192.0.2.1").tries == 0


def test_an_address_that_tries_many_names_waits_too_and_who_is_known_does_not(places: Places) -> None:
    throttle = places.throttle()
    assert throttle.begin("ann", "2001:db8::1") <= 0
    throttle.succeeded("ann", "2001:db8::1")
    for number in range(31):
        assert throttle.begin(f"user {number}", f"2001:db8::{number:x}") <= 0 or number == 30
    places.pass_time(-LEISURE_S)
    stranger, known = (throttle.standing(name, "2001:db8::ffff") for name in ("another", "ann"))
    assert stranger.wait_s > 0 and not stranger.known and stranger.tries >= 30
    assert known.wait_s <= 0 and known.known
    assert throttle.begin("another", "2001:db8:0:1::1") <= 0


def test_five_wrong_passwords_at_two_hosts_wait_as_five(shared: PlacesInDatabase) -> None:
    hosts = [shared.throttle(), shared.throttle()]
    for number in range(5):
        assert hosts[number % 2].begin("ann", "192.0.2.1") <= 0
    shared.pass_time(-LEISURE_S)
    assert all(host.begin("ann", "192.0.2.1") > 0 for host in hosts)
    assert hosts[0].standing("ann", "192.0.2.1").tries == 5  # a try that had to wait is none
    shared.pass_time(400)
    hosts[0].begin("ann", "192.0.2.1")
    hosts[1].succeeded("ann", "192.0.2.1")
    assert hosts[0].standing("ann", "192.0.2.1").known
    shared.pass_time(31 * 24 * 3600)
    assert not hosts[0].standing("ann", "192.0.2.1").known


def test_attempts_at_once_are_all_counted(shared: PlacesInDatabase) -> None:
    hosts = [shared.throttle() for _ in range(4)]

    def attempt(number: int) -> float:
        return hosts[number % 4].begin(f"user {number % 7}", "192.0.2.1")

    with ThreadPoolExecutor(8) as pool:
        allowed = [wait for wait in pool.map(attempt, range(28)) if wait <= 0]
    assert hosts[0].standing("another", "192.0.2.1").tries == len(allowed) == 28


def test_strangers_fill_nothing_and_no_name_is_in_the_table(shared: PlacesInDatabase) -> None:
    throttle = replace(shared.throttle(), remembered=20)
    for number in range(50):
        throttle.begin(f"correct horse {number}", f"192.0.2.{number}")
    counted = "SELECT kind, count(*) FROM sign_in_fact WHERE tenant = :tenant GROUP BY kind ORDER BY kind"
    assert shared.run(counted) == [["try", 20], ["try-of-address", 20]]
    assert throttle.standing("x", "192.0.2.49").tries == 1 and throttle.standing("x", "192.0.2.1").tries == 0
    rows = shared.run("SELECT CAST(sign_in_fact AS text) FROM sign_in_fact WHERE tenant = :tenant")
    assert not any("horse" in str(row) or "192.0.2" in str(row) for row in rows)
    shared.pass_time(3601)
    throttle.begin("ann", "192.0.2.1")
    assert shared.run(counted) == [["try", 1], ["try-of-address", 1]]


def test_no_password_is_compared_while_the_database_is_away(shared: PlacesInDatabase) -> None:
    from triage.spool.cluster.shared_rows import SharedRows

    away = DatabaseThrottle(SharedRows(replace(shared.server.address("postgres"), port=1), shared.tenant))
    for act in (away.standing, away.begin, away.succeeded):
        with pytest.raises(HTTPException) as refused:
            act("ann", "192.0.2.1")
        assert refused.value.status_code == 503


def test_a_state_comes_back_once_to_whichever_host(shared: PlacesInDatabase) -> None:
    here, there = DatabaseStates(shared.database()), DatabaseStates(shared.database())
    assert here.add_new("a") and there.add_new("b")
    assert not there.add_new("a") and not here.add_new("b")
    process = ProcessStates()
    assert process.add_new("a") and not process.add_new("a")
