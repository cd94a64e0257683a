"""What happens to the three hosts: drawn from the seed, one after the other."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from tests.acceptance.hosts.engines import DATABASE, ROLE, ROLE_PASSWORD, Balancer, Bucket, Database, Lists
from tests.acceptance.hosts.faulty_bucket import MODES
from tests.acceptance.hosts.network import Host
from tests.acceptance.hosts.units import Units
from tests.support.wait import wait_for
from triage.spool.cluster.address import DatabaseAddress
from triage.spool.cluster.connection import Connection

_WHILE_S = (5.0, 30.0)
"""Seconds that a fault lasts, drawn between the two."""


class Site(Protocol):
    """What events act on."""

    hosts: dict[str, Host]
    units: Units
    database: Database
    lists: Lists
    bucket: Bucket
    balancers: dict[str, Balancer]


@dataclass(frozen=True)
class Event:
    """One thing that happens: its name, and what does it, for so many seconds where it lasts."""

    name: str
    act: Callable[[Site, float], None]
    seconds: float = 0.0


def drawn(seed: int, count: int) -> list[Event]:
    """Return ``count`` events in an order of the seed's. All kinds come once before one comes again."""
    chance = random.Random(seed)
    kills = [Event(f"kill -9 {name}", _kill(name)) for name in _PROCESSES]
    cuts = [Event(f"cut host {name}", _cut(name)) for name in ("a", "b", "c")]
    faults = [Event(f"bucket: {mode}", _bucket(mode)) for mode in MODES]
    others = [
        Event("kill -9 the primary of PostgreSQL and promote the standby", _fail_over),
        Event("kill -9 the primary of PostgreSQL and start it", _crash_primary),
        Event("kill -9 the standby of PostgreSQL and start it", _crash_standby),
        Event("kill -9 the primary of Redis", _kill_redis),
        Event("kill -9 SeaweedFS and start it", _crash_bucket),
        Event("no session left in PostgreSQL", _no_session),
        Event("PostgreSQL read-only", _read_only),
        Event("the database's disk full", _full_disk),
    ]
    order: list[Event] = []
    while len(order) < count:
        # A kill and another fault in turn, so that a short trial has both.
        some, rest = list(kills), [*cuts, *faults, *others]
        chance.shuffle(some)
        chance.shuffle(rest)
        order += [each for pair in zip(some, rest, strict=False) for each in pair] + rest[len(some) :]
    return [Event(each.name, each.act, round(chance.uniform(*_WHILE_S), 1)) for each in order[:count]]


_PROCESSES = (
    *(f"{host}/up{role}" for host in "ab" for role in ("", " listen", " work", " web", " sweep", " deliver")),
    *(f"c/{role}" for role in ("listen", "work", "sweep", "deliver")),
)
"""Units, and children of `triage up` in one."""


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
    address = DatabaseAddress(server.host, DATABASE, ROLE, server.port, ROLE_PASSWORD, site.database.ca.path)
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
