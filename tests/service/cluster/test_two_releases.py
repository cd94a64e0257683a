"""Two releases on one database: hosts are brought to the next one while studies come, and one is started again with the
release before.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.hosts import Hosts
from tests.support.later_release import LATER, narrowing, of_later_release
from tests.support.postgres_server import PostgresServer
from tests.support.two_releases import later_release, site
from triage.errors import EXIT_CANNOT_START
from triage.spool.cluster.schema import schema_state


@pytest.fixture
def own_database(hosts: Hosts, postgres_server: PostgresServer) -> None:
    """A database of which no other test sees the later schema."""
    hosts.database = postgres_server.address(postgres_server.new_database())


@pytest.mark.usefixtures("own_database")
@pytest.mark.timeout(1800)  # it waits for states; a busy machine takes its time
def test_each_host_is_upgraded_while_studies_come(hosts: Hosts, tmp_path: Path) -> None:
    """The tables become those of the later release when its first process starts, under the others."""
    later = later_release(tmp_path / "later")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with site(tmp_path, [hosts.address(tmp_path / name) for name in ("a", "b")], hosts.redis_url, None) as upgraded:
        upgraded.stop(0)
        upgraded.start(0, later)
        assert schema_state(hosts.database).revision == LATER
        upgraded.works(1)
        upgraded.stop(1)
        upgraded.start(1)  # of the release before
        assert f"the database has schema {LATER} of a later release, which this one" in upgraded.hosts[1].log()
        upgraded.works(1)
        upgraded.stop(0)
        upgraded.works(1)  # alone: it sweeps and delivers, too
        upgraded.start(0)
        upgraded.stop(1)
        upgraded.start(1, later)
        upgraded.works(1)
        assert upgraded.refused() == []
    assert upgraded.refused() == []


@pytest.mark.usefixtures("own_database")
def test_a_schema_that_has_become_narrower_is_refused(hosts: Hosts, tmp_path: Path) -> None:
    hosts.store()
    of_later_release(hosts.database, narrowing(tmp_path / "later"))
    role = hosts.start("listen")
    assert role.role.wait() == EXIT_CANNOT_START
    assert role.role.said(f"schema {LATER} of a later release, for programs that know schema {LATER}")
