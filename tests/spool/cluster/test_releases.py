"""Two releases on one database: what a program of before does on the schema of a later one (docs/adr/0092)."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.spool.cluster.test_opening import of_first_release, opened_at
from tests.spool.cluster.test_store_commands import Site
from tests.spool.test_store_contract import A, receive, tag
from tests.support.cluster import Cluster
from tests.support.later_release import LATER, narrowing, of_later_release, widening
from triage.errors import StartError
from triage.service.check.finding import Level
from triage.service.check.store import check_cluster
from triage.service.models import registry_history
from triage.settings.load import load
from triage.settings.sections.spool import SpoolSettings
from triage.spool.cluster.address import BucketAddress, DatabaseAddress
from triage.spool.cluster.schema import VERSION_TABLE, Steps, schema_state
from triage.spool.errors import SpoolError


@pytest.fixture
def database(cluster: Cluster) -> DatabaseAddress:
    """A database of this release."""
    address = cluster.server.address(cluster.server.new_database())
    opened_at(cluster, address)
    return address


def written(cluster: Cluster, database: DatabaseAddress) -> list[list[object]]:
    """The schema that a database says it has, and the oldest that may use it."""
    return cluster.server.run(f"SELECT version_num, oldest FROM {VERSION_TABLE}", database.database)


def test_a_database_says_which_programs_may_use_it(cluster: Cluster, database: DatabaseAddress):
    steps = Steps()
    assert written(cluster, database) == [[steps.newest, steps.oldest]]


class TestWiderSchema:
    def test_a_program_of_before_starts_and_says_so_once(
        self, cluster: Cluster, database: DatabaseAddress, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ):
        of_later_release(database, widening(tmp_path / "later"))
        with caplog.at_level(logging.INFO, "triage.spool.cluster.schema"):
            caplog.clear()
            store = opened_at(cluster, database)
        (line,) = [each.getMessage() for each in caplog.records]
        assert LATER in line and Steps().newest in line and "upgrade this host" in line
        receive(store, A)
        tag(store, A)
        assert store.decision(A.study_instance_uid)
        assert written(cluster, database) == [[LATER, Steps().newest]]

    def test_a_session_of_before_goes_on_with_what_it_has_prepared(
        self, cluster: Cluster, database: DatabaseAddress, tmp_path: Path
    ):
        store = opened_at(cluster, database)
        receive(store, A)
        tag(store, A)
        before = store.decision(A.study_instance_uid), list(store.study_uids())
        of_later_release(database, widening(tmp_path / "later"))
        assert (store.decision(A.study_instance_uid), list(store.study_uids())) == before
        with store.study_lock("1.2.9"):
            store.write_decision("1.2.9", {"revision": "r1"})
        assert store.decision("1.2.9") == {"revision": "r1"}

    def test_a_role_that_may_not_change_tables_can_use_it(
        self, cluster: Cluster, database: DatabaseAddress, tmp_path: Path
    ):
        of_later_release(database, widening(tmp_path / "later"))
        cluster.server.run("CREATE ROLE reader_of_later LOGIN", database.database)
        cluster.server.run("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader_of_later", database.database)
        assert opened_at(cluster, replace(database, user="reader_of_later")).exists()

    def test_releases_that_open_it_together_leave_it_with_the_later_schema(self, cluster: Cluster, tmp_path: Path):
        """An empty database, opened by programs of both releases at once."""
        database, folder = cluster.server.address(cluster.server.new_database()), widening(tmp_path / "later")
        acts = [lambda: opened_at(cluster, database), lambda: of_later_release(database, folder)] * 2
        failed = list[BaseException]()

        def run(act: object) -> None:
            try:
                act()  # type: ignore[operator]
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=run, args=(act,)) for act in acts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert failed == []
        assert written(cluster, database) == [[LATER, Steps().newest]]


class TestNarrowerSchema:
    def test_a_program_of_before_refuses_it_and_names_both(
        self, cluster: Cluster, database: DatabaseAddress, tmp_path: Path
    ):
        of_later_release(database, narrowing(tmp_path / "later"))
        with pytest.raises(SpoolError) as caught:
            opened_at(cluster, database)
        assert f"schema {LATER} of a later release, for programs that know schema {LATER}" in str(caught.value)
        assert f"this one has {Steps().newest}" in str(caught.value)
        assert written(cluster, database) == [[LATER, LATER]]

    def test_one_that_does_not_say_who_may_use_it_is_refused(self, cluster: Cluster, database: DatabaseAddress):
        cluster.server.run(f"UPDATE {VERSION_TABLE} SET version_num = '{LATER}', oldest = NULL", database.database)
        with pytest.raises(SpoolError, match=f"schema {LATER} of a later release; this one has"):
            schema_state(database)


class TestMigrateCommand:
    @pytest.fixture
    def site(self, cluster: Cluster, tmp_path: Path) -> Site:
        """A site whose database has the first tables."""
        name = cluster.server.new_database()
        of_first_release(cluster, name)
        nowhere = BucketAddress("http://127.0.0.1:1", "radiographs", "a", "b")
        return Site(tmp_path, replace(cluster.address, database=cluster.server.address(name), bucket=nowhere))

    def test_it_lists_the_steps_and_takes_them(self, site: Site):
        newest = Steps().newest
        listed = site.run("migrate", "--check")
        assert listed.exit_code == 1, listed.output
        first, *steps = listed.output.splitlines()
        assert first.endswith(f": schema 0001, this release has {newest}")
        assert len(steps) > 5 and steps[-1].startswith(f"to do: {newest}: ")
        taken = site.run("migrate")
        assert taken.exit_code == 0 and taken.output.endswith("done\n"), taken.output
        again = site.run("migrate", "--check")
        assert (again.exit_code, again.output) == (0, f"{first.partition(': schema')[0]}: {_NOW.format(newest)}\n")

    def test_a_later_release_is_told_or_refused(self, site: Site, cluster: Cluster, tmp_path: Path):
        site.run("migrate")
        of_later_release(site.database, widening(tmp_path / "wider"))
        for words in (("migrate", "--check"), ("migrate",)):
            told = site.run(*words)
            assert told.exit_code == 0 and "upgrade this host, too" in told.output
        cluster.server.run(f"UPDATE {VERSION_TABLE} SET oldest = '{LATER}'", site.database.database)
        refused = site.run("migrate", "--check")
        assert refused.exit_code == 78 and f"schema {LATER} of a later release" in refused.output


def test_an_empty_database_fails_no_check(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As the page says, `triage check` comes first, and the first process makes the tables."""
    monkeypatch.chdir(tmp_path)
    nowhere = BucketAddress("http://127.0.0.1:1", "none", "a", "b")
    address = replace(cluster.address, database=cluster.server.address(cluster.server.new_database()), bucket=nowhere)
    (database,) = (each for each in check_cluster(address, SpoolSettings()) if each.subject == "database")
    assert database.level is Level.WARNING and "the first process makes them" in database.finding
    settings = load(Site(tmp_path, address).config, {})
    assert not registry_history(settings).entries
    gone = replace(address.database, database="no_such_database")
    with pytest.raises(StartError):  # which version serves is known only where the database answers
        registry_history(load(Site(tmp_path, replace(address, database=gone)).config, {}))
    assert not schema_state(address.database).revision, "a check makes no tables"


_NOW = "schema {0}, this release has {0}"


def test_check_says_which_schema_there_is(cluster: Cluster, database: DatabaseAddress, tmp_path: Path):
    address = replace(cluster.address, database=database, bucket=BucketAddress("http://127.0.0.1:1", "b", "a", "b"))

    def found() -> tuple[Level, str]:
        each = next(each for each in check_cluster(address, SpoolSettings()) if each.subject == "database")
        return each.level, each.finding

    assert found()[0] is Level.OK and found()[1].endswith(_NOW.format(Steps().newest))
    of_later_release(database, widening(tmp_path / "wider"))
    assert found()[0] is Level.WARNING and "upgrade this host, too" in found()[1]
    cluster.server.run(f"UPDATE {VERSION_TABLE} SET oldest = '{LATER}'", database.database)
    assert found()[0] is Level.FAILED and "run the release that made it" in found()[1]
