"""The opening of a store in PostgreSQL: its schema, what cannot be opened, and what its name and address say."""

from __future__ import annotations

import errno
import pickle
import socket
import ssl
import threading
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tests.spool.cluster.test_transactions import setting
from tests.spool.test_store_contract import A, receive
from tests.support.certificates import authority
from tests.support.cluster import Cluster
from tests.support.cut_cable import cable_to
from tests.support.wait import wait_for
from triage.security.database_users import DatabaseUsers
from triage.spool.cluster.address import DatabaseAddress
from triage.spool.cluster.cluster_store import ClusterStore
from triage.spool.cluster.connection import Connection
from triage.spool.cluster.migrations.versions import v0001_first_tables
from triage.spool.cluster.opening import cluster_at, open_cluster
from triage.spool.cluster.schema import _LOCK, VERSION_TABLE
from triage.spool.cluster.shared_rows import SharedRows
from triage.spool.cluster.sql_errors import as_os_error


def at(cluster: Cluster, database: DatabaseAddress) -> ClusterStore:
    store = cluster_at(replace(cluster.address, database=database), cluster.bucket)
    assert isinstance(store, ClusterStore)
    cluster.opened.append(store)
    return store


def opened_at(cluster: Cluster, database: DatabaseAddress) -> ClusterStore:
    store = open_cluster(replace(cluster.address, database=database), cluster.bucket)
    assert isinstance(store, ClusterStore)
    cluster.opened.append(store)
    return store


def of_first_release(cluster: Cluster, name: str) -> None:
    """Make the tables of schema 0001."""
    for statement in (*v0001_first_tables._TABLES, *v0001_first_tables._TRIGGERS):
        cluster.server.command(statement, name)
    cluster.server.command(f"CREATE TABLE {VERSION_TABLE} (version_num varchar(32) PRIMARY KEY)", name)
    cluster.server.command(f"INSERT INTO {VERSION_TABLE} VALUES ('0001')", name)


def waits_since(cluster: Cluster, name: str) -> float:
    """Return the seconds for which a session has waited for the lock of migrations."""
    sql = (
        "SELECT CAST(coalesce(max(extract(epoch FROM clock_timestamp() - query_start)), 0) AS float8) "
        "FROM pg_stat_activity WHERE datname = :name AND wait_event = 'advisory'"
    )
    return float(str(cluster.server.run(sql, name=name)[0][0]))


def waiting(cluster: Cluster, name: str) -> int:
    """Return the number of sessions that wait for the lock of migrations."""
    sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = :name AND wait_event = 'advisory'"
    return int(str(cluster.server.run(sql, name=name)[0][0]))


class TestSchema:
    def test_an_empty_database_is_made_ready_once_by_however_many_open_it(self, cluster: Cluster):
        database = cluster.server.address(cluster.server.new_database())
        assert not at(cluster, database).exists()
        outcomes = list[bool]()

        def use() -> None:
            outcomes.append(opened_at(cluster, database).exists())

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert outcomes == [True] * 4
        assert cluster.server.run(f"SELECT count(*) FROM {VERSION_TABLE}", database.database) == [[1]]

    def test_a_database_of_the_first_tables_keeps_its_rows_and_gets_those_of_access(self, cluster: Cluster):
        name = cluster.server.new_database()
        of_first_release(cluster, name)
        tenant = cluster.address.tenant
        cluster.server.command(f"INSERT INTO installation VALUES ('{tenant}', '', '2.25.1')", name)
        rows = SharedRows(cluster.server.address(name), tenant)
        assert not rows.is_made()
        assert DatabaseUsers(rows).all() == []
        rows.prepare()
        assert rows.is_made()
        rows.write("INSERT INTO audit_line (tenant, host, process, content) VALUES (:tenant, 'a', 'b', 'c')")
        rows.prepare()
        assert opened_at(cluster, cluster.server.address(name)).installation_uid() == "2.25.1"
        assert rows.read("SELECT content FROM audit_line WHERE tenant = :tenant") == [["c"]]

    def test_a_migration_takes_the_time_that_it_takes(self, cluster: Cluster):
        """It waits for another process's for longer than a statement, and an answer, may take otherwise."""
        name = cluster.server.new_database()
        database = cluster.server.address(name, statement_timeout_s=0.5)
        holder, outcomes = Connection(cluster.server.address(name)), list[bool]()
        thread = threading.Thread(target=lambda: outcomes.append(opened_at(cluster, database).exists()))
        try:
            holder.command("BEGIN")
            holder.run(f"SELECT pg_advisory_xact_lock({_LOCK})")
            thread.start()
            wait_for(lambda: waits_since(cluster, name) > 6.5, "the migration to have waited for so long")
            holder.command("COMMIT")
            thread.join(60)
        finally:
            holder.close()
        assert outcomes == [True]

    def test_processes_that_wait_for_each_other_s_migration_are_in_the_way_of_none(self, cluster: Cluster):
        """All have seen the schema of before when the first of them begins to change it."""
        name = cluster.server.new_database()
        of_first_release(cluster, name)
        database = cluster.server.address(name)
        holder, outcomes = Connection(database), list[bool]()
        threads = [
            threading.Thread(target=lambda: outcomes.append(opened_at(cluster, database).exists())) for _ in range(3)
        ]
        try:
            holder.command("BEGIN")
            holder.run(f"SELECT pg_advisory_xact_lock({_LOCK})")
            for thread in threads:
                thread.start()
            wait_for(lambda: waiting(cluster, name) == 3, "all to wait for the lock")
            holder.command("COMMIT")
            for thread in threads:
                thread.join(60)
        finally:
            holder.close()
        assert outcomes == [True] * 3

    def test_a_database_that_does_not_answer_is_not_waited_for(self, cluster: Cluster):
        cluster.open()
        with cable_to(cluster.server.port) as cable:
            database = replace(cluster.address.database, port=cable.port, statement_timeout_s=0.5)
            cable.cut()
            with pytest.raises(TimeoutError):
                opened_at(cluster, database)

    def test_a_table_that_another_session_holds_is_not_waited_for_with_everyone_behind(self, cluster: Cluster):
        name = cluster.server.new_database()
        of_first_release(cluster, name)
        reader = Connection(cluster.server.address(name))
        try:
            reader.command("BEGIN")
            reader.run("SELECT count(*) FROM lease")  # as pg_dump does for as long as it takes
            with pytest.raises(BlockingIOError, match=r"pg_dump.*Nothing was changed.*start this again"):
                opened_at(cluster, cluster.server.address(name, statement_timeout_s=0.5))
            assert cluster.server.run(f"SELECT version_num FROM {VERSION_TABLE}", name) == [["0001"]]
            reader.command("COMMIT")
            assert opened_at(cluster, cluster.server.address(name)).exists()
        finally:
            reader.close()

    def test_a_role_that_may_not_change_tables_can_use_them(self, cluster: Cluster):
        cluster.open()
        cluster.server.run("CREATE ROLE writer LOGIN")
        cluster.server.run("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO writer")
        store = opened_at(cluster, replace(cluster.address.database, user="writer"))
        assert receive(store, A)

    @pytest.mark.parametrize("table", ["history", "record"])
    def test_what_was_decided_or_done_is_not_changed(self, cluster: Cluster, table: str):
        store = cluster.open()
        with store.study_lock("1.2.3"):
            store.write_decision("1.2.3", {"revision": "r1"})
            store.study_entries("1.2.3").append("acts", {"n": 1})
        with pytest.raises(OSError):
            cluster.rows(f"UPDATE {table} SET content = '' WHERE tenant = :tenant")
        assert store.history("1.2.3") == [{"revision": "r1"}]
        assert store.study_entries("1.2.3").records("acts") == [{"n": 1}]


@cache
def no_such_host() -> int:
    """The number for a name that is not known; a machine without a resolver cannot tell."""
    try:
        socket.getaddrinfo("no-such-host.invalid", 5432)
    except socket.gaierror as error:
        return errno.EHOSTUNREACH if error.errno == socket.EAI_AGAIN else errno.ENXIO
    raise AssertionError("a name that no one may have is known")


class TestAddress:
    @pytest.mark.parametrize(
        ("change", "number"),
        [
            ({"port": 1}, errno.ECONNREFUSED),
            ({"host": "no-such-host.invalid"}, 0),
            ({"user": "no-such-user"}, errno.EACCES),
            ({"database": "no-such-database"}, errno.ENODEV),
            ({"tls": True}, errno.EPROTO),
        ],
        ids=lambda each: str(each),
    )
    def test_what_cannot_be_reached_is_told_by_its_number(
        self, cluster: Cluster, change: dict[str, object], number: int
    ):
        number = number or no_such_host()
        database = replace(cluster.address.database, **change)  # type: ignore[arg-type]
        store = at(cluster, database)
        with pytest.raises(OSError) as caught:
            opened_at(cluster, database)
        assert caught.value.errno == number
        with pytest.raises(OSError) as caught:
            store.decision("1.2.3")
        assert caught.value.errno == number and not isinstance(caught.value, FileNotFoundError)
        assert not store.exists() and not store.takes_studies()

    def test_the_database_is_known_by_its_certificate(self, cluster: Cluster, tmp_path: Path):
        ours, other = authority(tmp_path), authority(tmp_path, "other")
        certificate = ours.certificate("database")
        server = cluster.server
        for name, path in (("crt", certificate.path), ("key", certificate.key)):
            server.own_file(f"server.{name}", path.read_bytes())
        with setting(cluster, "ssl", "on"):
            known = replace(cluster.address.database, tls=True, ca_file=ours.path)
            assert receive(opened_at(cluster, known), A)
            with pytest.raises(OSError) as caught:
                at(cluster, replace(known, ca_file=other.path)).decision("1.2.3")
            assert caught.value.errno == errno.EPROTO and "ca_file" in str(caught.value)

    def test_a_clock_that_is_behind_is_told_from_a_wrong_authority(self):
        early = ssl.SSLCertVerificationError(1, "certificate verify failed")
        early.verify_message = "certificate is not yet valid"
        told = as_os_error(early)
        assert told.errno == errno.EPROTO and "not yet valid" in str(told) and "clock" in str(told)

    def test_a_proxy_without_a_server_is_a_broken_connection_and_no_want_of_tls(self):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            thread = threading.Thread(target=_hang_up, args=(listening,))
            thread.start()
            with pytest.raises(ConnectionResetError, match="hung up"):
                Connection(DatabaseAddress("127.0.0.1", "d", "u", listening.getsockname()[1]))
            thread.join()

    def test_a_password_is_needed_and_shown_nowhere(self, cluster: Cluster):
        server, secret = cluster.server, "correct horse"
        cluster.open()
        server.run(f"CREATE ROLE keeper LOGIN SUPERUSER PASSWORD '{secret}'")
        with server.requiring_password("keeper"):
            known = replace(cluster.address.database, user="keeper", password=secret)
            store = opened_at(cluster, known)
            assert store.exists() and secret not in store.name + repr(known)
            for password in ("", "wrong"):
                with pytest.raises(PermissionError):
                    at(cluster, replace(known, password=password)).decision("1.2.3")

    def test_an_object_takes_no_secret_of_the_database_along(self, cluster: Cluster):
        store = cluster.open()
        receive(store, A)
        handle = store.waiting_object(A)
        assert str(cluster.server.port).encode() not in pickle.dumps(handle)
        assert str(handle).startswith(f"{cluster.bucket.name}/{cluster.address.tenant}/main/{A.content_digest}/")
        with pytest.raises(OSError, match="bucket"):
            handle.lasting_path()


def _hang_up(listening: socket.socket) -> None:
    with listening.accept()[0] as connection:
        connection.recv(8)
