"""Deleted objects of a bucket with versioning are brought back; with `--weed` in a SeaweedFS too."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO

import pytest

from tests.support.s3_kept_versions import KeptVersions
from tests.support.s3_peer import s3_peer
from tests.support.seaweed import SeaweedServer
from triage.spool.cluster.address import BucketAddress
from triage.spool.cluster.s3_bucket import S3Bucket
from triage.spool.cluster.s3_versions import S3Versions

CONTENT = b"an object"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", ["in memory", *["SeaweedFS"] * bool(metafunc.config.getoption("--weed"))])


@pytest.fixture
def address(kind: str, pytestconfig: pytest.Config) -> Iterator[BucketAddress]:
    if kind == "in memory":
        with s3_peer(KeptVersions(page=2)) as peer:
            yield peer.address
    else:
        with SeaweedServer(pytestconfig.getoption("--weed")) as server:  # of its own: versions of a bucket are kept
            server.keep_versions()
            yield server.address


def put(address: BucketAddress, key: str) -> None:
    S3Bucket(address).put(key, BytesIO(CONTENT), len(CONTENT), sha256(CONTENT).digest())


def test_an_object_that_was_deleted_more_than_once_comes_back(address: BucketAddress) -> None:
    bucket, versions = S3Bucket(address), S3Versions(address)
    for key in ("a/1", "a/11", "a/2"):
        put(address, key)
    for _ in range(3):
        bucket.delete("a/1")
    bucket.delete("a/11")
    assert list(bucket.keys("a/")) == ["a/2"]
    assert versions.bring_back("a/1")
    assert bucket.read("a/1") == CONTENT and list(bucket.keys("a/")) == ["a/1", "a/2"]
    assert versions.bring_back("a/1") and versions.bring_back("a/2")
    bucket.delete("a/2")
    assert list(bucket.keys("a/")) == ["a/1"]


def test_what_was_never_there_does_not_come_back(address: BucketAddress) -> None:
    assert not S3Versions(address).bring_back("a/none")
    S3Bucket(address).delete("a/none")
    assert not S3Versions(address).bring_back("a/none")


def test_its_status_is_told(address: BucketAddress) -> None:
    assert S3Versions(address).status() == "Enabled"


def test_a_bucket_without_versions_says_so() -> None:
    with s3_peer(KeptVersions(status="")) as peer:
        assert S3Versions(peer.address).status() == "Off"
        with pytest.raises(OSError, match="not expected"):
            S3Versions(peer.address).bring_back("a/1")
