"""`triage store compare`, `bring-back` and `remove-keys`, on PostgreSQL and a bucket in memory that keeps versions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.spool.test_store_contract import A, B, receive
from tests.support.builders import an_instance
from tests.support.cluster import Cluster
from tests.support.s3_kept_versions import KeptVersions
from tests.support.s3_peer import S3Peer, error, s3_peer
from tests.support.service import a_chest
from tests.support.service import receive as receive_file
from triage.cli import triage
from triage.spool.cluster.address import ClusterAddress
from triage.spool.cluster.cluster_store import ClusterStore
from triage.spool.cluster.engine_rows import EngineRows
from triage.spool.cluster.s3_bucket import S3Bucket

PUT_AT = "2026-11-30T03:13:59+00:00"
"""When every object of the bucket in memory was put, as it says."""
LATER = "2026-11-30T03:14:00+00:00"


THIRD = an_instance(study="1.2.5", sop="1.2.5.4")


@pytest.fixture
def peer() -> Iterator[S3Peer]:
    with s3_peer(KeptVersions(page=1000)) as made:
        yield made


@pytest.fixture
def bucket(peer: S3Peer) -> S3Bucket:
    return S3Bucket(peer.address)


@pytest.fixture
def store(cluster: Cluster, bucket: S3Bucket) -> ClusterStore:
    return cluster.open(bucket)


class Site:
    """The settings file of a site, and its commands."""

    def __init__(self, folder: Path, address: ClusterAddress) -> None:
        database, bucket = address.database, address.bucket
        self.config = folder / "triage.toml"
        self.config.write_text(
            f'[data]\npath = "{folder}/var"\n[store]\nkind = "postgres+s3"\ntenant = "{address.tenant}"\n'
            f'[postgres]\nhost = "127.0.0.1"\nport = {database.port}\ndatabase = "{database.database}"\n'
            f'user = "{database.user}"\ntls = false\n'
            f'[s3]\nendpoint = "{bucket.endpoint}"\nbucket = "{bucket.bucket}"\naccess_key = "{bucket.access_key}"\n'
            f'secret_key = "{bucket.secret_key}"\n'
        )
        self.tenant, self.database = address.tenant, database

    def __call__(self, *words: str, said: str = "") -> Result:
        """``triage store`` with these words."""
        return self.run("store", *words, said=said)

    def run(self, *words: str, said: str = "") -> Result:
        """``triage`` with these words."""
        return CliRunner().invoke(triage, ["--config", str(self.config), *words], input=said)


@pytest.fixture
def site(tmp_path: Path, cluster: Cluster, peer: S3Peer, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr("time.time", lambda: 1_900_000_000.0)  # no key is too new
    return Site(tmp_path, replace(cluster.address, bucket=peer.address))


def put(bucket: S3Bucket, key: str, content: bytes) -> None:
    bucket.put(key, BytesIO(content), len(content), sha256(content).digest())


def keys(site: Site, bucket: S3Bucket) -> list[str]:
    return list(bucket.keys(site.tenant))


class TestCompare:
    def test_what_agrees_is_status_0(self, site: Site, store: ClusterStore):
        receive(store, A)
        ended = site("compare", "--read")
        assert ended.exit_code == 0, ended.output
        assert "1 rows and 1 keys of 2048 bytes were compared: they agree" in ended.output

    def test_differences_are_listed_and_status_1(self, site: Site, store: ClusterStore, bucket: S3Bucket):
        receive(store, A)
        (key,) = keys(site, bucket)
        bucket.delete(key)
        put(bucket, f"{site.tenant}/main/x/1", a_chest(1))
        ended = site("compare")
        assert ended.exit_code == 1
        assert f"{key}: the bucket does not have it: object 1.2.3.4 of study 1.2.3" in ended.output
        assert f"main/x/1: no row names it, put {PUT_AT}: object " in ended.output
        assert "1 missing, 0 size, 0 content, 1 unnamed (1 of them the only copy)" in ended.output

    def test_a_monitoring_job_reads_lines_of_json(self, site: Site, store: ClusterStore, bucket: S3Bucket):
        receive(store, A)
        (key,) = keys(site, bucket)
        bucket.delete(key)
        lines = [json.loads(line) for line in site("compare", "--json").stdout.splitlines()]
        assert lines[0]["fault"] == "missing" and lines[0]["key"] == key and lines[0]["put_at"] is None
        assert lines[-1]["complete"] is True and lines[-1]["missing"] == 1 and lines[-1]["rows"] == 1

    def test_one_that_an_engine_ends_is_status_3(self, site: Site, store: ClusterStore, peer: S3Peer):
        receive(store, A)
        peer.faults.append(error(403, "AccessDenied"))
        ended = site("compare")
        assert ended.exit_code == 3 and "the store refuses" in ended.output

    def test_it_says_from_where_to_go_on(self, site: Site, store: ClusterStore, bucket: S3Bucket, peer: S3Peer):
        receive(store, A)
        receive(store, B)
        first, second = keys(site, bucket)
        bucket.delete(second)
        real = peer.backend
        peer.backend = lambda asked: error(403, "AccessDenied") if asked.headers.get("range") else real(asked)
        ended = site("compare")
        assert ended.exit_code == 3 and f"--after {first}" in ended.output, ended.output
        peer.backend = real
        assert f"{second}: the bucket does not have it" in site("compare", "--after", first).output
        assert site("compare", "--after", second).exit_code == 0

    def test_a_store_of_files_has_none(self, tmp_path: Path):
        (tmp_path / "files.toml").write_text(f'[data]\npath = "{tmp_path}/files"\n')
        ended = CliRunner().invoke(triage, ["--config", str(tmp_path / "files.toml"), "store", "compare"])
        assert ended.exit_code == 78 and "there is no bucket" in ended.output


class TestBringBack:
    def test_what_rows_name_comes_back(self, site: Site, store: ClusterStore, bucket: S3Bucket):
        receive(store, A)
        receive(store, B)
        put(bucket, f"{site.tenant}/main/x/1", b"no row names it")
        before = keys(site, bucket)
        for key in before:
            bucket.delete(key)
        ended = site("bring-back")
        assert ended.exit_code == 0, ended.output
        assert "2 rows: 2 objects are back, 0 are not" in ended.output
        assert keys(site, bucket) == before[:-1]  # the key without a row stays deleted
        assert site("compare", "--read").exit_code == 0

    def test_what_is_in_no_version_is_listed(self, site: Site, store: ClusterStore, bucket: S3Bucket, peer: S3Peer):
        receive(store, A)
        backend = peer.backend
        assert isinstance(backend, KeptVersions)
        backend.objects.clear()
        backend.versions.clear()
        ended = site("bring-back")
        assert ended.exit_code == 1 and "object 1.2.3.4 of study 1.2.3" in ended.output
        assert "0 objects are back, 1 are not in the bucket in any version" in ended.output

    def test_a_user_who_may_not_is_told(self, site: Site, store: ClusterStore, bucket: S3Bucket, peer: S3Peer):
        receive(store, A)
        (key,) = keys(site, bucket)
        bucket.delete(key)
        backend = peer.backend
        assert isinstance(backend, KeptVersions)
        backend.status = ""
        assert site("bring-back").exit_code == 3


class TestRemoveKeys:
    @pytest.fixture
    def unnamed(self, site: Site, store: ClusterStore, bucket: S3Bucket) -> dict[str, str]:
        """A copy of what the store has, and the only copy of what it has not."""
        kept = receive_file(store, a_chest(1))  # type: ignore[arg-type]
        (key,) = keys(site, bucket)
        copy, alone = f"{site.tenant}/main/{kept.content_digest}/0", f"{site.tenant}/main/{'f' * 64}/0"
        put(bucket, copy, bucket.read(key))
        put(bucket, alone, a_chest(2))
        return {"row": key, "copy": copy, "alone": alone}

    def test_copies_go_and_the_only_copy_stays(self, site: Site, bucket: S3Bucket, unnamed: dict[str, str]):
        ended = site("remove-keys", "--put-before", LATER, "--yes")
        assert ended.exit_code == 0, ended.output
        assert "1 objects that the store has under another key, 1 that it has nowhere else" in ended.output
        assert "1 keys removed" in ended.output
        assert keys(site, bucket) == sorted([unnamed["row"], unnamed["alone"]])

    def test_the_only_copy_goes_when_that_is_said(self, site: Site, bucket: S3Bucket, unnamed: dict[str, str]):
        ended = site("remove-keys", "--put-before", LATER, "--only-copies", "--yes")
        assert "have the PACS send them again first" in ended.output and "2 keys removed" in ended.output
        assert keys(site, bucket) == [unnamed["row"]]
        assert site("compare").exit_code == 0

    def test_it_asks_first(self, site: Site, bucket: S3Bucket, unnamed: dict[str, str]):
        ended = site("remove-keys", "--put-before", LATER, said="n\n")
        assert ended.exit_code == 1 and "remove 1 keys?" in ended.output
        assert len(keys(site, bucket)) == 3
        assert "1 keys removed" in site("remove-keys", "--put-before", LATER, said="y\n").output

    def test_what_was_put_later_stays(self, site: Site, bucket: S3Bucket, unnamed: dict[str, str]):
        ended = site("remove-keys", "--put-before", PUT_AT, "--only-copies", "--yes")
        assert ended.exit_code == 0 and "0 keys that no row names" in ended.output
        assert len(keys(site, bucket)) == 3

    @pytest.mark.parametrize(
        ("time", "said"),
        [
            ("yesterday", "takes a time"),
            ("2026-11-30T02:00:00", "with its zone"),
            ("2030-03-17T17:00:00+00:00", "less than 24 hours ago"),
        ],
    )
    def test_a_time_has_to_be_stated_that_is_long_past(self, site: Site, store: ClusterStore, time: str, said: str):
        ended = site("remove-keys", "--put-before", time, "--yes")
        assert ended.exit_code == 2 and said in ended.output
        assert site("remove-keys", "--yes").exit_code == 2

    def test_a_pair_that_does_not_belong_together_loses_nothing(
        self, site: Site, store: ClusterStore, bucket: S3Bucket, cluster: Cluster, unnamed: dict[str, str]
    ):
        bucket.delete(unnamed["row"])
        ended = site("remove-keys", "--put-before", LATER, "--only-copies", "--yes")
        assert ended.exit_code == 1 and "row without its object" in ended.output
        cluster.rows("DELETE FROM object WHERE tenant = :tenant RETURNING 1")
        cluster.rows("DELETE FROM bucket_key WHERE tenant = :tenant RETURNING 1")
        ended = site("remove-keys", "--put-before", LATER, "--only-copies", "--yes")
        assert ended.exit_code == 1 and "not the database of this bucket" in ended.output
        assert len(keys(site, bucket)) == 2


class TestBackup:
    """`triage backup` and `triage restore` of a host whose store has backups of its own."""

    @pytest.fixture
    def triage_of(self, site: Site):
        return lambda *words: CliRunner().invoke(triage, ["--config", str(site.config), *words])

    def test_the_state_of_both_is_noted_and_told_at_the_restore(
        self, site: Site, store: ClusterStore, bucket: S3Bucket, tmp_path: Path, triage_of
    ):
        store.installation_uid()
        receive(store, A)
        made = triage_of("backup", str(tmp_path / "backup"))
        assert made.exit_code == 0, made.output
        assert re.search(r"schema \d{4}", made.output) and "0 studies, 1 objects" in made.output
        assert "versioning Enabled, 1 keys" in made.output and "warning" not in made.output
        restored = triage_of("restore", str(tmp_path / "backup"), str(tmp_path / "restored"))
        assert restored.exit_code == 0, restored.output
        assert "versioning Enabled, 1 keys" in restored.output and "triage store bring-back" in restored.output
        assert "spool.path" not in restored.output

        receive(store, B)
        agreed = site("compare", "--backup", str(tmp_path / "backup"))
        assert agreed.exit_code == 0, agreed.output
        assert "backup: database" in agreed.output and "now: database" in agreed.output

    def test_a_database_of_an_earlier_time_and_another_pair_are_told(
        self, site: Site, store: ClusterStore, bucket: S3Bucket, tmp_path: Path, cluster: Cluster, triage_of
    ):
        store.installation_uid()
        receive(store, A)
        receive(store, B)
        assert triage_of("backup", str(tmp_path / "backup")).exit_code == 0
        cluster.rows("UPDATE object SET received = received - interval '1 day' WHERE tenant = :tenant RETURNING 1")
        said = site("compare", "--backup", str(tmp_path / "backup"))
        assert said.exit_code == 1 and "is of a time before the backup" in said.output
        assert "have the pacs send again" in said.output.lower()
        cluster.rows("UPDATE installation SET uid = '2.25.1' WHERE tenant = :tenant RETURNING 1")
        assert "of another installation" in site("compare", "--backup", str(tmp_path / "backup")).output

    @pytest.mark.parametrize("status", ["", "Suspended"])
    def test_a_bucket_that_forgets_is_warned_of(
        self, site: Site, store: ClusterStore, peer: S3Peer, tmp_path: Path, triage_of, status: str
    ):
        backend = peer.backend
        assert isinstance(backend, KeptVersions)
        backend.status = status
        made = triage_of("backup", str(tmp_path / "backup"))
        assert made.exit_code == 0 and "warning: the bucket keeps no versions" in made.output
        site.config.write_text(site.config.read_text() + "[spool]\nretention_days = 0\n")
        assert "warning" not in triage_of("backup", str(tmp_path / "backup")).output

    def test_rows_without_objects_are_status_1(
        self, site: Site, store: ClusterStore, bucket: S3Bucket, tmp_path: Path, triage_of, monkeypatch
    ):
        monkeypatch.setattr("secrets.token_hex", lambda count: "")  # the sample is all of it
        receive(store, A)
        bucket.delete(keys(site, bucket)[0])
        made = triage_of("backup", str(tmp_path / "backup"))
        assert made.exit_code == 1 and "1 of 1 rows that were looked at have no object" in made.output
        assert triage_of("backup", str(tmp_path / "backup"), "--verify").exit_code == 0

    @pytest.mark.parametrize("begins", ["", "0", "f" * 16, "7" * 16])
    def test_a_small_store_is_looked_at_as_a_whole_wherever_the_sample_begins(
        self, site: Site, store: ClusterStore, bucket: S3Bucket, tmp_path: Path, triage_of, monkeypatch, begins: str
    ):
        monkeypatch.setattr("secrets.token_hex", lambda count: begins)
        for instance in (A, B, THIRD):
            receive(store, instance)
        bucket.delete(keys(site, bucket)[0])
        made = triage_of("backup", str(tmp_path / "backup"))
        assert made.exit_code == 1 and "1 of 3 rows that were looked at have no object" in made.output
        assert "3 rows looked at, 1 without their object" in made.output

    def test_a_sample_that_is_full_goes_no_further_than_it_is_large(
        self, site: Site, store: ClusterStore, tmp_path: Path, triage_of, monkeypatch
    ):
        monkeypatch.setattr("secrets.token_hex", lambda count: "f" * 16)
        monkeypatch.setattr("triage.spool.comparing.engine_state._SAMPLED", 2)
        for instance in (A, B, THIRD):
            receive(store, instance)
        assert "2 rows looked at, 0 without" in triage_of("backup", str(tmp_path / "backup")).output

    def test_a_sample_of_nothing_is_said(self, site: Site, store: ClusterStore, tmp_path: Path, triage_of, monkeypatch):
        monkeypatch.setattr("triage.spool.comparing.engine_state._SAMPLED", 0)
        receive(store, A)
        made = triage_of("backup", str(tmp_path / "backup"))
        assert made.exit_code == 0 and "none of 1 rows was looked at" in made.output

    def test_without_an_engine_the_host_is_backed_up_and_status_1_says_the_rest(
        self, site: Site, store: ClusterStore, peer: S3Peer, tmp_path: Path, triage_of
    ):
        peer.backend = lambda asked: error(403, "AccessDenied")
        made = triage_of("backup", str(tmp_path / "backup"))
        assert made.exit_code == 1 and "is whole, and says nothing of database and bucket" in made.output
        assert triage_of("backup", str(tmp_path / "backup"), "--verify").exit_code == 0
        assert site("compare", "--backup", str(tmp_path / "backup")).exit_code == 1

    def test_a_role_without_rights_notes_what_it_may_read(self, cluster: Cluster, bucket: S3Bucket):
        cluster.open(bucket)
        cluster.server.command("CREATE ROLE plain LOGIN")
        for right in ("USAGE ON SCHEMA public", "SELECT ON ALL TABLES IN SCHEMA public"):
            cluster.server.command(f"GRANT {right} TO plain")
        database = replace(cluster.address.database, user="plain")
        state = EngineRows.of(replace(cluster.address, database=database)).state()
        assert state.schema and state.lsn and state.tenant == cluster.address.tenant
        assert state.system_identifier
