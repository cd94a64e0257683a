"""An upgrade of a site host by host, from a release of the past: its program is taken from the history of this tree.

Run by tests/acceptance/upgrade.sh alone.
"""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from tests.spool.conftest import postgres_server
from tests.support.postgres_server import PostgresServer
from tests.support.redis_server import RedisServer
from tests.support.seaweed import SeaweedServer
from tests.support.two_releases import Site, release_of_commit, site
from triage.errors import EXIT_CANNOT_START
from triage.spool.cluster.address import ClusterAddress
from triage.spool.cluster.schema import Steps, schema_state

__all__ = ["postgres_server"]

_KNOWS_THE_RULE = "triage/spool/cluster/migrations/versions/v0009_oldest_release.py"


@pytest.mark.timeout(2400)  # it waits for states; a busy machine takes its time
def test_each_host_is_upgraded_while_studies_come(
    pytestconfig: pytest.Config,
    postgres_server: PostgresServer,
    seaweed: SeaweedServer,
    redis_server: RedisServer,
    tmp_path: Path,
) -> None:
    """Both releases receive, score, sweep and deliver on one database and one bucket, and the old one does alone."""
    old = release_of_commit(pytestconfig.getoption("--previous"), tmp_path / "old")
    database = postgres_server.address(postgres_server.new_database())
    tenant, addresses = f"tenant-{uuid4().hex[:12]}", []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        addresses.append(ClusterAddress(database, seaweed.address, tmp_path / name / "scratch", tenant, lease_s=8.0))
    with site(tmp_path, addresses, redis_server.url, old) as upgraded:
        present = upgraded.present
        before = schema_state(database)
        assert before.revision < Steps().newest, "--previous has this schema already"
        upgraded.stop(0)
        upgraded.start(0, present)
        assert schema_state(database).revision == Steps().newest
        upgraded.works(0)
        upgraded.works(1)
        upgraded.stop(0)
        upgraded.works(1)  # the old one alone: it sweeps and delivers, too
        upgraded.start(0)
        upgraded.stop(1)
        _start_again(upgraded, (old.parent / _KNOWS_THE_RULE).exists())
        upgraded.start(1, present)
        upgraded.works(1)
        assert upgraded.refused() == []
    assert upgraded.refused() == []
    compared = upgraded.hosts[0].run("store", "compare", "--read")
    assert compared.returncode == 0, compared.stdout + compared.stderr


def _start_again(upgraded: Site, knows_the_rule: bool) -> None:
    """Start the old release on the new schema. One of before the rule refuses; then the host is upgraded at once."""
    host = upgraded.hosts[1]
    if knows_the_rule:
        upgraded.start(1)
        upgraded.works(1)
        upgraded.stop(1)
        return
    refused = host.run("up")
    assert refused.returncode == EXIT_CANNOT_START
    assert f"schema {Steps().newest} of a later release" in refused.stderr
