"""One trial: three hosts, a PACS that sends to them, and what happens to them meanwhile."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.acceptance.hosts.altered import Alteration
from tests.acceptance.hosts.bounds import Outage, WayCut
from tests.acceptance.hosts.engines import (
    Balancer,
    Bucket,
    Database,
    Lists,
    balancer,
    new_authority,
    pem_of,
    wait_until_whole,
)
from tests.acceptance.hosts.events import Event
from tests.acceptance.hosts.network import Host
from tests.acceptance.hosts.objects import Outgoing
from tests.acceptance.hosts.pacs import Pacs, Results, receiving
from tests.acceptance.hosts.ris import Ris, over_mllp
from tests.acceptance.hosts.service import LEADERS, LISTEN, REPORTS, UNITS, Outside, Service, environment
from tests.acceptance.hosts.units import Unit, Units
from tests.acceptance.hosts.watches import WorkWatch
from tests.support.model_folders import write_model
from tests.support.tcp_proxy import HAPROXY
from tests.support.wait import wait_for

ADDRESSES = {"a": "10.0.0.11", "b": "10.0.0.12", "c": "10.0.0.13"}
CLOCKS = {"a": 50, "b": 0, "c": 25}
"""Seconds by which each host's clock is ahead: at a failover from a to b the database's goes back by 50 s.

With a minute or more between a host and the database nothing is removed by age there. HAProxy and SeaweedFS, which is
linked statically, go by the machine's clock.
"""
_BALANCER = Path("deploy/haproxy/cxr-triage.cfg")


@dataclass
class Happened:
    """One event: when, in seconds of the trial, how long until the engines were whole, and what it cost."""

    name: str
    at_s: float
    lasted_s: float
    whole_after_s: float
    refused: int
    acknowledged: int
    longest_silence_s: float


@dataclass
class Trial:
    """The hosts with all that runs on them; ``Site`` of events."""

    hosts: dict[str, Host]
    units: Units
    database: Database
    lists: Lists
    bucket: Bucket
    balancers: dict[str, Balancer]
    service: Service
    outside: Host
    work: WorkWatch
    pacs: Pacs
    outages: list[Outage] = field(default_factory=list)
    way_cuts: list[WayCut] = field(default_factory=list)
    altered: list[Alteration] = field(default_factory=list)
    shown_wrongly: list[str] = field(default_factory=list)
    """Studies that a page showed with another patient."""
    returned: set[str] = field(default_factory=set)
    """Studies that came again after they had been removed."""
    began: float = field(default_factory=time.monotonic)
    began_at: float = field(default_factory=time.time)

    def start(self) -> None:
        """Start the engines, then the service, until all of it is ready."""
        self.database.start()
        self.lists.add_units()
        self.units.add(self.bucket.unit(environment()))
        for each in self.balancers.values():
            self.units.add(each.unit)
        self.units.add(self._front())
        self.units.start()
        self.bucket.server.__enter__()
        wait_until_whole(self.database, self.lists)
        for unit in self.service.units():
            self.units.add(unit)
        for name, words in UNITS.items():
            roles = ("listen", "work", *LEADERS) if "up" in words else words
            for role in roles:
                self._ready(name, role)
        self._trust_the_clock()

    def _trust_the_clock(self) -> None:
        """As a person would at the first start: else nothing is removed by age until a day has passed."""
        done = self.service.run(self.hosts["b"], "clock", "--trust")
        assert done.returncode == 0, done.stdout + done.stderr

    def _ready(self, name: str, role: str) -> None:
        if role != "web":
            wait_for(lambda: self.service.is_ready(name, role), f"{role} on host {name} to be ready", 180.0)

    def _front(self) -> Unit:
        """The balancer of deploy/haproxy before listeners and reports of all three hosts, outside of them."""
        configuration, third = self.outside.folder / "haproxy.cfg", self.hosts["c"].address
        defaults = f"global\n  stats socket {self.work.balancer} mode 600\ndefaults\n  mode tcp\n"
        example = _BALANCER.read_text()
        of_images, of_reports = example.index("\n# Reports"), example.index("\nlisten web")
        listeners, reports = example[:of_images].rstrip(), example[of_images:of_reports].rstrip()
        configuration.write_text(
            f"{defaults}{listeners}\n    server listener3 {third}:11112 port {LISTEN}\n"
            f"{reports}\n    server reports3 {third}:2575 port {REPORTS}\n"
        )
        return Unit(
            "out/haproxy", [str(HAPROXY), "-db", "-f", str(configuration)], self.outside.folder / "log", environment()
        )

    def happen(self, events: list[Event], total: int) -> Iterator[Happened]:
        """Have the events happen, spread over the acknowledgements of ``total`` objects; what each did."""
        pacs = self.pacs
        for number, event in enumerate(events):
            due = total * (number + 0.5) / len(events)
            wait_for(lambda due=due: len(pacs.acknowledged) >= due or pacs.is_done, "objects to be stored", 900.0)
            wait_until_whole(self.database, self.lists)
            yield self._happens(event)

    def _happens(self, event: Event) -> Happened:
        pacs = self.pacs
        begun, refused, stored = time.monotonic(), sum(pacs.refusals.values()), len(pacs.acknowledged)
        away = frozenset(event.takes_away(self))
        print(f"{begun - self.began:7.1f} s  {event.name} ({event.seconds:g} s)", flush=True)  # noqa: T201
        event.act(self, event.seconds)
        ended = time.monotonic()
        wait_until_whole(self.database, self.lists)
        whole = time.monotonic()
        self.outages.append(Outage(away, begun, whole))
        return Happened(
            event.name,
            round(begun - self.began, 1),
            round(ended - begun, 1),
            round(whole - ended, 1),
            sum(pacs.refusals.values()) - refused,
            len(pacs.acknowledged) - stored,
            round(pacs.longest_silence(begun, whole), 1),
        )

    def end(self) -> dict[str, int | None]:
        """End everything; how each unit of the service ended."""
        statuses = self.units.end(last=("redis", "sentinel", "haproxy", "faults"))
        for server in self.database.servers.values():
            server.stop()
        self.bucket.server.stop()
        return {name: status for name, status in statuses.items() if name.partition("/")[2] in _OF_THE_SERVICE}


_OF_THE_SERVICE = {word for words in UNITS.values() for word in words}


def new_trial(prefix: str, work: Path, weed: str, seed: int) -> Trial:
    """Put the three hosts together; nothing is started yet."""
    hosts = {name: Host(name, ADDRESSES[name], prefix, work / name, CLOCKS[name]) for name in ADDRESSES}
    outside = Host("out", Outside("10.0.0.5").address, prefix, work / "out")
    for host in (*hosts.values(), outside):
        host.folder.mkdir()
    ca = new_authority(work / "ca")
    write_model(work / "models", "tiny-adult", bias=-0.2)  # some drawings are above the threshold, some below
    database = Database(hosts, "a", "b", ca)
    service = Service(hosts, Outside(outside.address), "c", work / "models", ca.path)
    for host in hosts.values():
        service.write_settings(host)
    balancers = {
        name: balancer(host, database, pem_of(ca, host) if name == "c" else None) for name, host in hosts.items()
    }
    units = Units()
    bucket, work = Bucket(hosts["c"], weed), WorkWatch(service, outside.folder / "haproxy.sock")
    pacs = Pacs(service.outside.address, service.outside.balancer, random.Random(seed))
    return Trial(hosts, units, database, Lists(hosts, units), bucket, balancers, service, outside, work, pacs)


@contextmanager
def running(trial: Trial) -> Iterator[Results]:
    """The trial with its receivers, from when all is ready."""
    at = trial.service.outside
    with ExitStack() as stack:
        results = stack.enter_context(receiving(at.address, at.reports, at.messages))
        stack.callback(trial.end)
        trial.start()
        yield results


def new_ris(trial: Trial, results: Results, outgoing: Sequence[Outgoing]) -> Ris:
    """The RIS that has some of the studies read."""
    at = trial.service.outside
    patients = {each.instance.study_instance_uid: each.patient for each in outgoing if each.is_read}
    confused = {each.instance.study_instance_uid for each in outgoing if each.is_confused}
    early = {each.instance.study_instance_uid for each in outgoing if each.is_early}
    return Ris(results.told_at, patients, confused, over_mllp(at.address, at.read), early)
