"""A restore of a store in PostgreSQL and S3 to a time, by the steps of docs/how-to/several-hosts.md.

Run by tests/acceptance/restore.sh alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import pytest

from tests.acceptance.cluster import SharedService, sent
from tests.e2e.conftest import models
from tests.spool.test_store_contract import A, B, receive
from tests.support.archived_postgres import ArchivedPostgres, archived_postgres
from tests.support.redis_server import RedisServer
from tests.support.seaweed import SeaweedServer
from triage.spool.cluster.address import ClusterAddress
from triage.spool.cluster.cluster_store import ClusterStore
from triage.spool.cluster.s3_bucket import S3Bucket
from triage.spool.open_store import open_store

__all__ = ["models"]  # a fixture


@pytest.fixture
def server() -> Iterator[ArchivedPostgres]:
    with archived_postgres() as made:
        yield made


@pytest.fixture
def seaweed_of_its_own(pytestconfig: pytest.Config) -> Iterator[SeaweedServer]:
    with SeaweedServer(pytestconfig.getoption("--weed")) as made:
        yield made


@pytest.fixture
def address(server: ArchivedPostgres, seaweed_of_its_own: SeaweedServer, tmp_path: Path) -> ClusterAddress:
    tenant = f"tenant-{uuid4().hex[:12]}"
    database, bucket = server.address("postgres"), seaweed_of_its_own.address
    return ClusterAddress(database, bucket, tmp_path / "scratch", tenant, lease_s=2.0)


def removed(store: ClusterStore, uid: str) -> None:
    """What retention does with a study, and the sweep after it."""
    with store.study_lock(uid):
        store.remove_study(uid)
    store.remove_old_parts(time.time() + 60)


def test_a_restore_to_a_time(
    tmp_path: Path,
    models: Path,
    server: ArchivedPostgres,
    seaweed_of_its_own: SeaweedServer,
    address: ClusterAddress,
    redis_server: RedisServer,
):
    seaweed_of_its_own.keep_versions()
    backup = str(tmp_path / "backup")
    with SharedService(tmp_path / "var", models, address, redis_url=redis_server.url) as site:
        before = sent(site, tmp_path, 1, 2)
        site.tagged(*before.values())
        server.take_base_backup()
        before |= sent(site, tmp_path, 3, 4)
        tags = site.tagged(*before.values())
        noted = site.run("backup", backup)
        assert noted.returncode == 0, noted.stdout + noted.stderr
        assert "versioning Enabled" in noted.stdout and "warning" not in noted.stderr

        at = server.now()
        after = sent(site, tmp_path, 5, 6)
        site.tagged(*after.values())
        removed(site.spool, before[1])
        assert not site.spool.has_study(before[1])
        site.spool.close()
        server.archive_all()

        # 1. Stop every process on every host. 2. Restore PostgreSQL to the time.
        site.stop()
        server.lose()
        server.restore(at)

        # 3. Bring back what rows name.
        compared = site.run("store", "compare")
        assert compared.returncode == 1 and f"study {before[1]}" in compared.stdout
        assert "1 missing" in compared.stdout, compared.stdout
        back = site.run("store", "bring-back")
        assert back.returncode == 0, back.stdout + back.stderr
        assert "4 rows: 1 objects are back, 0 are not" in back.stdout

        # 4. See what is there, and what is to be sent again.
        compared = site.run("store", "compare", "--read", "--backup", backup, "--json")
        lines = [json.loads(line) for line in compared.stdout.splitlines() if line.startswith("{")]
        assert lines[-1]["complete"] and lines[-1]["rows"] == 4, compared.stdout + compared.stderr
        assert [lines[-1][fault] for fault in ("missing", "size", "content")] == [0, 0, 0]
        assert {each["study_instance_uid"] for each in lines[:-1]} == set(after.values())
        assert lines[-1]["unnamed"] == lines[-1]["only_copies"] == 2

        # 5. Empty Redis and start one host: queue and list are made from the store.
        redis_server.client().flushdb()
        site.start()
        swept = site.run("sweep", "--once")
        assert swept.returncode in (0, 78), swept.stderr  # the service's own sweep may be at it
        assert site.tagged(*before.values()) == tags
        for uid in before.values():
            status, study = site.get(f"/api/studies/{uid}")
            assert status == 200, study
        assert set(site.spool.study_uids()) == set(before.values())

        # 6. The PACS sends that period again.
        again = sent(site, tmp_path, 5, 6)
        assert again == after
        site.tagged(*again.values())

        # 7. Nothing is the only copy any more; after a day, the keys without a row may go.
        last = json.loads(site.run("store", "compare", "--json").stdout.splitlines()[-1])
        assert (last["missing"], last["unnamed"], last["only_copies"]) == (0, 2, 0)
        early = site.run("store", "remove-keys", "--put-before", f"{at.replace(' ', 'T')}:00", "--yes")
        assert early.returncode == 2 and "less than 24 hours ago" in early.stderr
        sent(site, tmp_path, 7)
        site.spool.close()


def test_a_bucket_without_versions_and_a_copy_that_deletes_nothing(
    server: ArchivedPostgres, address: ClusterAddress, tmp_path: Path
):
    """The second way: a mirror of the bucket, from which the missing keys are put back."""
    store, bucket = open_store(address), S3Bucket(address.bucket)
    assert isinstance(store, ClusterStore)
    receive(store, A)
    receive(store, B)
    server.take_base_backup()
    mirror = {key: bucket.read(key) for key in bucket.keys(address.tenant)}
    at = server.now()
    store.drop_unfinished()
    store.remove_old_parts(time.time() + 60)
    assert list(bucket.keys(address.tenant)) == []
    store.close()
    server.archive_all()
    server.lose()
    server.restore(at)

    for key in mirror.keys() - set(bucket.keys(address.tenant)):
        bucket.put(key, BytesIO(mirror[key]), len(mirror[key]), sha256(mirror[key]).digest())
    restored = open_store(address)
    assert isinstance(restored, ClusterStore)
    assert {*restored.waiting()} == {A, B}
    assert all(restored.waiting_object(each).read_bytes() for each in (A, B))
    restored.close()
