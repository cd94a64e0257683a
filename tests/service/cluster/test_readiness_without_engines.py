"""/readyz of processes that receive, on one host that alone has lost its way to the database or to the bucket."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.support.cut_cable import Cable, cable_to
from tests.support.hosts import HostRole, Hosts
from tests.support.ports import free_port
from tests.support.postgres_server import PostgresServer
from tests.support.wait import wait_for

pytestmark = pytest.mark.timeout(600)


def is_ready(process: HostRole) -> bool:
    return process.ready()[0] == 200


def lost_and_found(cable: Cable, process: HostRole, other: HostRole, why: str) -> None:
    """Cut the cable of one host: it alone is not ready, says why, and is again when the cable is mended."""
    wait_for(lambda: is_ready(process) and is_ready(other), "both to be ready", 90.0)
    cable.cut()
    wait_for(lambda: process.ready()[0] == 503, "the one that is cut off not to be ready", 90.0)
    assert why in process.ready()[1]
    assert is_ready(other)
    cable.mend()
    wait_for(lambda: is_ready(process), "it to be ready again", 90.0)


@pytest.mark.parametrize("engine", ["postgres_port", "s3_endpoint"])
def test_a_listener_that_is_cut_off_is_taken_out(hosts: Hosts, engine: str) -> None:
    bucket = urlsplit(hosts.bucket.endpoint)
    assert bucket.port is not None
    with cable_to(hosts.database.port if engine == "postgres_port" else bucket.port) as cable:
        at = {"postgres_port": cable.port, "s3_endpoint": f"http://127.0.0.1:{cable.port}"}[engine]
        short = {"postgres_statement_timeout_s": 2.0, "s3_timeout_s": 2.0}
        cut_off = hosts.start("listen", listener_port=0, **{engine: at}, **short)
        other = hosts.start("listen", listener_port=0)
        lost_and_found(cable, cut_off, other, "C-STORE is answered 0xA700")


def test_a_database_that_takes_no_changes_and_a_bucket_that_refuses_are_told(
    hosts: Hosts, postgres_server: PostgresServer
) -> None:
    refused = hosts.start("listen", listener_port=0, s3_endpoint="http://127.0.0.1:1")
    listener = hosts.start("listen", listener_port=0)
    wait_for(lambda: "the bucket cannot be used" in refused.ready()[1], "the one without a bucket to say so", 90.0)
    wait_for(lambda: is_ready(listener), "the other one to be ready", 90.0)
    postgres_server.set("default_transaction_read_only", "on")
    try:
        wait_for(lambda: "the database takes no changes" in listener.ready()[1], "it to say so", 90.0)
        assert listener.ready()[0] == 503
    finally:
        postgres_server.set("default_transaction_read_only", "off")
    wait_for(lambda: is_ready(listener), "it to be ready again", 90.0)


def test_reports_that_are_cut_off_from_the_database_are_not_ready(hosts: Hosts) -> None:
    with cable_to(hosts.database.port) as cable:
        settings = {"postgres_port": cable.port, "postgres_statement_timeout_s": 2.0, "reports_port": free_port()}
        cut_off = hosts.start("reports", **settings)
        other = hosts.start("reports", reports_port=free_port())
        lost_and_found(cable, cut_off, other, "answer")  # it does not, or has not for some seconds
