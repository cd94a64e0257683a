"""Processes of which one leads among all hosts: who takes its place, and when; and what each tells of itself."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import cast

import pytest

from tests.service.cluster.test_two_deliverers import settings_of
from tests.support.cut_cable import cable_to
from tests.support.hosts import HostRole, Hosts, one_leads
from tests.support.postgres_server import PostgresServer
from tests.support.receivers import store_scp
from tests.support.redis_server import RedisServer
from tests.support.studies import a_study
from tests.support.wait import wait_for
from triage.decision.types import Tag
from triage.errors import EXIT_LEAD_LOST
from triage.operations.in_work import Part, announce
from triage.spool.spool import Spool

pytestmark = pytest.mark.timeout(900)  # it waits for states; a busy machine takes its time

MANAGER: dict[str, str | float] = {
    "channels__ups__manager__host": "127.0.0.1",
    "channels__ups__manager__port": 1,
    "channels__ups__manager__called_ae_title": "UPS",
    "channels__ups__manager__look_s": 60.0,
    "channels__ups__manager__enabled": "true",
}
"""A UPS manager that is not there, at which one host looks for all."""
LEADS = 'cxr_triage_leads{host="'


def gauge_of(process: HostRole, name: str) -> list[str]:
    return [line.rpartition(" ")[2] for line in process.metrics().splitlines() if line.startswith(name)]


def other(pair: list[HostRole], leader: HostRole) -> HostRole:
    return next(each for each in pair if each is not leader)


@pytest.mark.parametrize("name", ["sweep", "deliver", "reports"])
class TestOneOfEachKind:
    def test_a_killed_leader_is_replaced(self, hosts: Hosts, name: str):
        pair = two(hosts, name)
        leader = one_leads(*pair)
        standby = other(pair, leader)
        leader.role.kill()
        wait_for(standby.leads, f"the standby of {name} to lead")
        assert standby.role.said(f"{name}: leads among all hosts from now on")

    def test_one_that_stops_gives_its_place_back_at_once(self, hosts: Hosts, name: str):
        hosts.lease_s = 300.0  # far longer than the test waits
        pair = two(hosts, name)
        leader = wait_for(lambda: next((each for each in pair if each.leads()), None), "one to lead", 90.0)
        assert leader.role.terminate() == 0
        wait_for(other(pair, leader).leads, f"the standby of {name} to lead", 120.0)
        assert leader.role.said(f"{name}: leads no more")

    def test_one_that_stood_still_ends_to_be_started_again(self, hosts: Hosts, name: str):
        pair = two(hosts, name)
        leader = one_leads(*pair)
        standby = other(pair, leader)
        leader.role.process.send_signal(signal.SIGSTOP)
        wait_for(standby.leads, f"the standby of {name} to lead")
        leader.role.process.send_signal(signal.SIGCONT)
        assert leader.role.wait() == EXIT_LEAD_LOST
        assert leader.role.said("another host leads, as this process was silent for longer than store.lease_s")
        assert standby.leads()


def test_one_whose_cable_to_the_database_is_cut_is_replaced_and_ends_when_it_is_mended(hosts: Hosts) -> None:
    with cable_to(hosts.database.port) as cable:
        far = hosts.start("deliver", postgres_port=cable.port, postgres_statement_timeout_s=2.0)
        one_leads(far)
        near = hosts.start("deliver")
        one_leads(far, near)
        cable.cut()
        wait_for(near.leads, "the other one to lead", 90.0)
        wait_for(lambda: far.ready()[0] == 503, "the one that is cut off to say so", 90.0)
        assert "its lease has run out" in far.ready()[1]
        cable.mend()
        assert far.role.wait() == EXIT_LEAD_LOST
        assert near.leads()


class TestOneThatCannotWork:
    def test_a_sweep_whose_host_has_lost_redis_gives_its_place_back_and_may_lead_again(
        self, hosts: Hosts, redis_server: RedisServer, tmp_path: Path
    ):
        way = tmp_path / "way.sock"
        way.symlink_to(redis_server.socket)
        far = hosts.start("sweep", redis_url=f"unix://{way}", canary_interval_minutes=600.0)
        one_leads(far)
        near = hosts.start("sweep")
        one_leads(far, near)
        way.unlink()
        wait_for(near.leads, "the one with Redis to lead", 90.0)
        assert far.role.said("sweep: cannot work on this host")
        assert one_leads(far, near) is near
        way.symlink_to(redis_server.socket)
        assert near.role.terminate() == 0
        wait_for(far.leads, "the first one to lead again", 90.0)

    def test_a_deliverer_whose_host_has_lost_the_bucket_gives_its_place_back(self, hosts: Hosts):
        with store_scp() as scp, cable_to(int(hosts.bucket.endpoint.rpartition(":")[2])) as cable:
            settings = settings_of("sr", scp.port, called_ae_title="PACS")
            far = hosts.start("deliver", s3_endpoint=f"http://127.0.0.1:{cable.port}", s3_timeout_s=1.0, **settings)
            one_leads(far)
            near = hosts.start("deliver", **settings)
            one_leads(far, near)
            cable.cut()
            a_study(cast(Spool, hosts.store()), "there", tag=Tag.ABNORMAL)
            wait_for(near.leads, "the one with the bucket to lead", 90.0)
            wait_for(lambda: scp.received, "the report", 90.0)
            assert far.role.said("deliver: cannot work on this host")
            assert one_leads(far, near) is near


class TestWhatEachTells:
    def test_a_standby_sweep_exports_no_state_that_it_does_not_know(self, hosts: Hosts):
        pair = two(hosts, "sweep")
        leader = one_leads(*pair)
        standby = other(pair, leader)
        wait_for(lambda: gauge_of(leader, "cxr_triage_redis_up") == ["1.0"], "a sweep")
        for name in ("cxr_triage_sweep_last_run", "cxr_triage_redis_up", "cxr_triage_oldest_untagged"):
            assert gauge_of(leader, name) and not gauge_of(standby, name)
        assert gauge_of(leader, LEADS) == ["1.0"] and gauge_of(standby, LEADS) == ["0.0"]
        assert gauge_of(standby, "cxr_triage_build_info") == ["1.0"]

    def test_a_leader_without_its_database_says_so_and_goes_on_with_it(
        self, hosts: Hosts, postgres_server: PostgresServer
    ):
        leader = hosts.start("sweep")
        one_leads(leader)
        postgres_server.stop()
        try:
            wait_for(lambda: leader.ready()[0] == 503, "the leader not to be ready")
            wait_for(lambda: gauge_of(leader, LEADS) == ["0.0"], "the leader not to say that it leads")
        finally:
            postgres_server.start()
        one_leads(leader)
        assert leader.role.process.poll() is None

    def test_a_standby_without_its_database_is_not_ready(self, hosts: Hosts, postgres_server: PostgresServer):
        pair = two(hosts, "deliver")
        standby = other(pair, one_leads(*pair))
        postgres_server.stop()
        try:
            wait_for(lambda: standby.ready()[0] == 503, "the standby not to be ready")
            assert "the store cannot be asked who leads" in standby.ready()[1]
        finally:
            postgres_server.start()
        one_leads(*pair)

    def test_what_decides_otherwise_on_some_hosts_is_told(self, hosts: Hosts):
        store = hosts.store()
        with store.workers.hold("a-1"), store.workers.hold("b-1"):
            announce(store, "a-1", {Part.MODELS: {"adult": "1 (aa)"}, Part.PRIORITIES: {"decision.silent": "true"}})
            announce(store, "b-1", {Part.MODELS: {"adult": "2 (bb)"}, Part.PRIORITIES: {"decision.silent": "false"}})
            sweep = hosts.start("sweep")
            wait_for(lambda: gauge_of(sweep, "cxr_triage_models_differ") == ["1.0"], "the difference", 90.0)
            assert gauge_of(sweep, 'cxr_triage_rules_differ{part="priorities"}') == ["1.0"]
            assert gauge_of(sweep, 'cxr_triage_rules_differ{part="images"}') == ["0.0"]
            assert sweep.role.said("models of hosts: adult: 1 (aa) on ")
            assert sweep.role.said("priorities of hosts: decision.silent: false on ")
            check = hosts.command("check")
            check.wait()
            assert check.said("models of hosts: adult: 1 (aa) on ")
            assert check.said("priorities of hosts: decision.silent: false on ")
            assert check.said("leaders: sweep on ")
            shown = hosts.command("hosts")
            assert shown.wait() == 1
            assert shown.said("  decision.silent: false on ") and shown.said("models: they differ")
            assert shown.said("sweep: ") and shown.said("workers: 2")
            announce(store, "a-1", {Part.MODELS: {"adult": "2 (bb)"}, Part.PRIORITIES: {"decision.silent": "false"}})
            wait_for(lambda: gauge_of(sweep, "cxr_triage_models_differ") == ["0.0"], "the difference to end")
            assert gauge_of(sweep, 'cxr_triage_rules_differ{part="priorities"}') == ["0.0"]
            assert hosts.command("hosts").wait() == 0


def two(hosts: Hosts, name: str) -> list[HostRole]:
    return [hosts.start(name, **(MANAGER if name == "reports" else {})) for _ in range(2)]
