"""Processes that start before the engines, and get on as soon as these are there; what is wrong is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.test_away_at_start import PORT_OF
from tests.support.hosts import HostRole, Hosts
from tests.support.model_folders import write_model
from tests.support.ports import free_port
from tests.support.postgres_server import PostgresServer
from tests.support.redis_server import RedisServer
from tests.support.sentinels import WatchedRedis
from tests.support.wait import wait_for
from triage.errors import EXIT_CANNOT_START, EXIT_TRY_AGAIN

pytestmark = pytest.mark.timeout(900)  # it waits for states; a busy machine takes its time


def start(hosts: Hosts, name: str, **settings: str | float) -> HostRole:
    """A process of a new host, whose models lie in its folder."""
    given = {"reports_port": free_port(), "listener_port": free_port(), **settings}
    return hosts.start(name, models_allow_demo="true", **given)


@pytest.fixture(autouse=True)
def models(tmp_path: Path) -> Path:
    write_model(tmp_path / "models", "tiny-adult")
    return tmp_path / "models"


def test_all_wait_for_a_database_that_starts_later(hosts: Hosts, postgres_server: PostgresServer, models: Path) -> None:
    postgres_server.stop()
    try:
        started = [start(hosts, name, models_path=str(models)) for name in PORT_OF]
        for each in started:
            wait_for(lambda each=each: each.role.said(f"{each.name}: waiting for postgresql://"), each.name, 120.0)
            assert each.role.process.poll() is None
    finally:
        postgres_server.start()
    for each in started:
        wait_for(lambda each=each: each.ready()[0] == 200, f"{each.name} to be ready", 120.0)
        assert each.role.said(f"{each.name}: the database answers")


@pytest.mark.parametrize("name", sorted(PORT_OF))
def test_without_a_bucket_each_starts(hosts: Hosts, models: Path, name: str) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    role = start(hosts, name, models_path=str(models), s3_endpoint=away)
    if name == "listen":  # it has started, and the balancer sends objects to others, which may reach it
        wait_for(lambda: "S3 at" in role.ready()[1], "the listener to name the bucket", 120.0)
        assert role.ready()[0] == 503
    else:
        wait_for(lambda: role.ready()[0] == 200, f"{name} to be ready", 120.0)


@pytest.mark.parametrize("engine", [RedisServer, WatchedRedis])
def test_all_are_there_before_redis_and_get_on_when_it_is(
    hosts: Hosts, models: Path, engine: type[RedisServer] | type[WatchedRedis]
) -> None:
    later = engine()
    given = later.settings if isinstance(later, WatchedRedis) else {"TRIAGE_REDIS_URL": later.url}
    of_redis = {name.removeprefix("TRIAGE_").lower(): value for name, value in given.items()}
    started = [start(hosts, name, models_path=str(models), **of_redis) for name in PORT_OF]
    for each in started:
        wait_for(lambda each=each: each.ready()[0] != 0, f"{each.name} to answer", 120.0)
    assert [each.name for each in started if each.role.process.poll() is not None] == []
    with later:
        for each in started:
            wait_for(lambda each=each: each.ready()[0] == 200, f"{each.name} to be ready", 120.0)


class TestWhatIsWrongIsTold:
    def test_a_database_that_is_not_there(self, hosts: Hosts) -> None:
        role = start(hosts, "sweep", postgres_database="no_such")
        assert role.role.wait() == EXIT_CANNOT_START
        assert role.role.said("/no_such: the server has no database of this name")

    def test_a_password(self, hosts: Hosts, postgres_server: PostgresServer) -> None:
        postgres_server.command("CREATE ROLE keyed LOGIN PASSWORD 'right'")
        with postgres_server.requiring_password("keyed"):
            role = start(hosts, "listen", postgres_user="keyed", postgres_password="wrong")
            assert role.role.wait() == EXIT_CANNOT_START
        assert role.role.said("the database refuses this user, its password or its address")

    def test_a_schema_of_a_later_release(self, hosts: Hosts, postgres_server: PostgresServer) -> None:
        name = postgres_server.new_database()
        postgres_server.command("CREATE TABLE triage_schema (version_num text)", name)
        postgres_server.command("INSERT INTO triage_schema VALUES ('v9999')", name)
        role = start(hosts, "web", postgres_database=name)
        assert role.role.wait() == EXIT_CANNOT_START
        assert role.role.said("schema v9999 of a later release")

    def test_a_typed_command_does_not_wait(self, hosts: Hosts, postgres_server: PostgresServer) -> None:
        hosts.store()
        postgres_server.stop()
        try:
            role = hosts.command("worklist")
            assert role.wait() == EXIT_TRY_AGAIN
        finally:
            postgres_server.start()
        assert len(role.lines()) == 1 and not role.said("Traceback")
