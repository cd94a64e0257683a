"""What happens to the three hosts: drawn from the seed, one after the other."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest

from tests.acceptance.hosts import engines
from tests.acceptance.hosts.altered import AT_LEAST_S
from tests.acceptance.hosts.bounds import BACK_S, BUCKET, DATABASE, LEFT_S, REDIS, UNABLE_S, WayCut
from tests.acceptance.hosts.engines import ROLE, ROLE_PASSWORD, Database
from tests.acceptance.hosts.faulty_bucket import MODES
from tests.acceptance.hosts.object_events import alter_headers, come_again, two_contents
from tests.acceptance.hosts.site import Site
from tests.acceptance.hosts.standstill import standing_still
from tests.acceptance.hosts.watches import listener, worker
from tests.support.wait import wait_for
from triage.spool.cluster.address import DatabaseAddress
from triage.spool.cluster.connection import Connection

_WHILE_S = (5.0, 30.0)
"""Seconds that a fault lasts, drawn between the two."""


def _none(_: Site) -> set[str]:
    return set()


@dataclass(frozen=True)
class Event:
    """One thing that happens: its name, and what does it, for so many seconds where it lasts.

    ``takes_away``: the engines that no host has meanwhile, as they are before it.
    """

    name: str
    act: Callable[[Site, float], None]
    takes_away: Callable[[Site], set[str]] = _none
    seconds: float = 0.0
    at_least_s: float = 0.0
    """Seconds that it lasts in any case, and ``seconds`` more."""


def drawn(seed: int, count: int, of: str = "") -> list[Event]:
    """Return ``count`` events in an order of the seed's. All kinds come once before one comes again.

    ``of``: only those with these words in their name, to look into one kind; or with others, after a ``|``.
    """
    chance, words = random.Random(seed), of.split("|")
    named = [
        [each for each in kind if any(word in each.name for word in words)] for kind in (_kills(), _others(chance))
    ]
    kills, others = named
    assert kills or others, f"no event has {of!r} in its name"
    order: list[Event] = []
    while len(order) < count:
        # A kill and another fault in turn, so that a short trial has both.
        chance.shuffle(kills)
        chance.shuffle(others)
        order += [each for pair in zip_longest(kills, others) for each in pair if each is not None]
    return [replace(each, seconds=round(chance.uniform(*_WHILE_S), 1)) for each in order[:count]]


def _kills() -> list[Event]:
    return [Event(f"kill -9 {name}", _kill(name)) for name in _PROCESSES]


def _others(chance: random.Random) -> list[Event]:
    host = chance.choice("abc")
    return [
        *(Event(f"cut host {name}", _cut(name), partial(_on_host, name)) for name in "abc"),
        _cut_of_way(f"host {host}", DATABASE, lambda _: host),
        _cut_of_way("the host that delivers", BUCKET, partial(_leader, "deliver")),
        _cut_of_way("the host that sweeps", REDIS, partial(_leader, "sweep")),
        *(Event(f"bucket: {mode}", _bucket(mode), _takes(BUCKET)) for mode in MODES),
        Event("kill -9 the primary of PostgreSQL and promote the standby", _fail_over, _takes(DATABASE)),
        Event("kill -9 the primary of PostgreSQL and start it", _crash_primary, _takes(DATABASE)),
        Event("kill -9 the standby of PostgreSQL and start it", _crash_standby, _takes(DATABASE)),  # commits wait
        Event("kill -9 the primary of Redis", _kill_redis, _takes(REDIS)),
        Event("kill -9 SeaweedFS and start it", _crash_bucket, _takes(BUCKET)),
        Event("no session left in PostgreSQL", _no_session, _takes(DATABASE)),
        Event("PostgreSQL read-only", _read_only, _takes(DATABASE)),
        Event("the database's disk full", _full_disk, _takes(DATABASE)),
        Event("PostgreSQL stands still", _stand_still(_of_postgres), _takes(DATABASE)),
        Event("Redis stands still", _stand_still(_of_redis), _takes(REDIS)),
        Event("SeaweedFS stands still", _stand_still(_of_bucket), _takes(BUCKET)),
        Event("headers altered in the bucket", alter_headers, at_least_s=AT_LEAST_S),
        Event("two contents under one UID to two hosts at once", two_contents(chance.randrange(1 << 30))),
        Event("a study that was removed comes again", come_again),
    ]


_OF_UP = ("listen", "work", "web", "sweep", "deliver", "reports")
_PROCESSES = (
    *(f"{host}/up{role}" for host in "ab" for role in ("", *(f" {each}" for each in _OF_UP))),
    *(f"c/{role}" for role in _OF_UP if role != "web"),
)
"""Units, and children of `triage up` in one."""
_PORTS = {
    DATABASE: (engines.TO_POSTGRES,),
    BUCKET: (engines.BUCKET,),
    REDIS: (engines.REDIS, engines.SENTINELS),
}
"""The ports by which a host finds each engine. Its own Redis and Sentinel lose the others with it."""


_AT_LEAST_S = {DATABASE: LEFT_S, BUCKET: UNABLE_S, REDIS: UNABLE_S}
"""Seconds for which a host loses an engine and more: until another one does what it did."""


def _takes(engine: str) -> Callable[[Site], set[str]]:
    return lambda _: {engine}


def _on_host(name: str, site: Site) -> set[str]:
    """The engines that stop when a host is away: commits wait for a standby, Redis has another primary soon."""
    where = {
        DATABASE: name in site.database.servers,
        REDIS: site.lists.primary() == name,
        BUCKET: site.bucket.host.name == name,
    }
    return {engine for engine, is_there in where.items() if is_there}


def _kill(name: str) -> Callable[[Site, float], None]:
    unit, _, role = name.partition(" ")

    def act(site: Site, _: float) -> None:
        wait_for(lambda: site.units.all[unit].kill(role), f"{name} to run", 120.0)

    return act


def _cut(name: str) -> Callable[[Site, float], None]:
    def act(site: Site, seconds: float) -> None:
        site.hosts[name].cut()
        try:
            time.sleep(seconds)  # how long it lasts is part of the dice
        finally:
            site.hosts[name].restore()

    return act


def _leader(role: str, site: Site) -> str:
    return wait_for(lambda: site.service.leader(role), f"a host to lead in {role}", 120.0)


def _cut_of_way(words: str, engine: str, host_of: Callable[[Site], str]) -> Event:
    """One host alone loses its way to one engine: what is sent there is dropped, without a word."""

    def act(site: Site, seconds: float) -> None:
        host = host_of(site)
        name = (worker if engine == REDIS else listener)(host)
        wait_for(lambda: site.work.takes(name), f"{name} to take work", 180.0)
        since = time.monotonic()
        with site.hosts[host].without(_PORTS[engine]):
            time.sleep(_AT_LEAST_S[engine] + seconds)
        site.way_cuts.append(WayCut(host, engine, since, time.monotonic()))
        with suppress(AssertionError):  # at the end it is looked at how long this took
            wait_for(lambda: site.work.takes(name), f"{name} to take work again", BACK_S)

    return Event(f"{words} alone loses {engine}", act, at_least_s=_AT_LEAST_S[engine])


def _bucket(mode: str) -> Callable[[Site, float], None]:
    def act(site: Site, seconds: float) -> None:
        site.bucket.set(mode)
        try:
            time.sleep(seconds)
        finally:
            site.bucket.set("")

    return act


def _fail_over(site: Site, seconds: float) -> None:
    """As the page for several hosts says: the old one is dead for certain, then promote, then move the address."""
    site.database.server.stop(signal.SIGKILL)
    time.sleep(seconds)  # until someone comes
    site.database.promote()
    for each in site.balancers.values():
        each.point_at(site.database)
    site.database.rebuild_standby()


def _crash_primary(site: Site, seconds: float) -> None:
    _crash(site, site.database.primary, seconds)


def _crash_standby(site: Site, seconds: float) -> None:
    _crash(site, site.database.standby, seconds)


def _crash(site: Site, name: str, seconds: float) -> None:
    server = site.database.servers[name]
    server.stop(signal.SIGKILL)
    time.sleep(seconds)
    _started(server.start)


def _started(start: Callable[[], None]) -> None:
    """Start a server whose former processes may still be there: its own check refuses that, and says so."""

    def tried() -> bool:
        with suppress(AssertionError):
            start()
            return True
        return False

    wait_for(tried, "PostgreSQL to start", 120.0)


def _kill_redis(site: Site, _: float) -> None:
    name = wait_for(site.lists.primary, "the Sentinels to agree", 60.0)
    site.units.all[f"{name}/redis"].kill()


def _crash_bucket(site: Site, seconds: float) -> None:
    site.bucket.server.stop(signal.SIGKILL)
    time.sleep(seconds)
    site.bucket.server.start()


def _no_session(site: Site, seconds: float) -> None:
    """Strangers take every session that there is, and each that becomes free."""
    server = site.database.server
    address = DatabaseAddress(server.host, engines.DATABASE, ROLE, server.port, ROLE_PASSWORD, site.database.ca.path)
    taken: list[Connection] = []
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            try:
                taken.append(Connection(address))
            except OSError:
                time.sleep(0.2)
    finally:
        for each in taken:
            each.close()


def _read_only(site: Site, seconds: float) -> None:
    with _setting(site.database, "default_transaction_read_only", "on"):
        time.sleep(seconds)


@contextmanager
def _setting(database: Database, name: str, value: str) -> Iterator[None]:
    server = database.server
    server.set(name, value)
    try:
        yield
    finally:
        server.command(f"ALTER SYSTEM RESET {name}")
        server.command("SELECT pg_reload_conf()")


def _full_disk(site: Site, seconds: float) -> None:
    """PostgreSQL ends itself where it cannot write its WAL; it is started again once there is room."""
    database = site.database
    name, end = database.primary, time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            database.disk_is_full(True)
            time.sleep(0.2)
    finally:
        database.disk_is_full(False)
    server = database.servers[name]
    if not server.runs:
        server.stop()
        _started(server.start)


def _of_postgres(site: Site) -> int:
    return site.database.server.pid


def _of_redis(site: Site) -> int:
    name = wait_for(site.lists.primary, "the Sentinels to agree", 60.0)
    process = site.units.all[f"{name}/redis"].process
    assert process is not None
    return process.pid


def _of_bucket(site: Site) -> int:
    return site.bucket.server.process_id


def _stand_still(process_of: Callable[[Site], int]) -> Callable[[Site, float], None]:
    """An engine accepts connections, and says nothing, as one whose disk does not answer."""

    def act(site: Site, seconds: float) -> None:
        with standing_still(process_of(site)):
            time.sleep(seconds)

    return act
