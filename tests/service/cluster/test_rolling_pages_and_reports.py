"""Two `web` and two `reports` behind HAProxy, restarted one after the other under load: no one is refused."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from tests.support.hosts import HostRole, Hosts
from tests.support.load_of_pages_and_reports import Messages, Pages, balancer
from tests.support.ports import free_port
from tests.support.studies import a_study
from tests.support.tcp_proxy import ADDRESS, checks, running, states
from tests.support.wait import wait_for
from triage.security.database_users import DatabaseUsers
from triage.security.roles import Role
from triage.spool.open_store import shared_database
from triage.spool.spool import Spool
from triage.worklist.reader_acts import Act, acts_of

PASSWORD = "twelve little radiologists"
STUDIES = 40
"""Those that the first messages are of; the others are remembered."""
DRAIN_S = 5.0


def all_are_asked(folder: Path) -> None:
    wait_for(lambda: states(folder) == ["UP"] * 4, "all four to be seen by HAProxy", 120.0)


def one_is_draining(folder: Path) -> None:
    """One that answers that it is not ready: of one that has ended HAProxy would say that it cannot connect."""
    wait_for(lambda: "L7STS" in checks(folder), "one that says that it is not ready")


@pytest.mark.timeout(1200)  # it waits for states; a busy machine takes its time
def test_each_is_restarted_while_requests_and_messages_come(hosts: Hosts, tmp_path: Path) -> None:
    store = hosts.store()
    uids = {
        f"ACC-{n}": a_study(cast(Spool, store), attributes={"AccessionNumber": f"ACC-{n}"})
        for n in range(1, STUDIES + 1)
    }
    users = DatabaseUsers(shared_database(hosts.address(tmp_path)))
    users.add("ann", Role.READER, PASSWORD)
    of_web = {
        "listener_drain_s": DRAIN_S,
        "sign_in_method": "users",
        "sign_in_trusted_proxies": "127.0.0.0/8",
    }
    webs = [hosts.start("web", **of_web) for _ in range(2)]
    reports: dict[int, HostRole] = {}
    for _ in range(2):
        port = free_port()
        of_reports = {"reports_port": port, "reports_proxy_protocol_from": f"{ADDRESS}/32"}
        reports[port] = hosts.start("reports", listener_drain_s=DRAIN_S, **of_reports)
    web_port, report_port = free_port(), free_port()
    with running(tmp_path, balancer(webs, reports, web_port, report_port)):
        all_are_asked(tmp_path)
        pages, messages = Pages(address=f"http://127.0.0.1:{web_port}"), Messages(port=report_port)
        pages.sign_in("ann", PASSWORD)
        with (
            pages.running(pages.asking(), pages.asking(), pages.follow, pages.follow),
            messages.running(messages.sending(), messages.sending(), messages.be_silent, messages.be_silent),
        ):
            for each in [*webs, *reports.values()]:
                pages.some()
                messages.some()
                assert each.restart(lambda: one_is_draining(tmp_path)) == 0
                all_are_asked(tmp_path)
            pages.some()
            messages.some()
    assert pages.faults == messages.faults == []
    assert pages.streams >= 1 and messages.hung_up >= 1  # of those that stopped, without a cut or a reset
    assert len(messages.again) == len(set(messages.again))  # none was left without an answer twice
    assert set(uids) <= messages.acknowledged
    for accession, uid in uids.items():  # also one that was sent twice is one act
        acts = [each.act for each in acts_of(store, uid)]
        assert acts == [Act.READ], f"{accession}: {acts}, sent again: {messages.again}"
