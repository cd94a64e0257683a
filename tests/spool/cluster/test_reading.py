"""The bytes of an object as they are read: by one request, and never others than were acknowledged."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from tests.scoring.test_batch import Bench, sessions
from tests.spool.test_store_contract import CONTENT, A, receive
from tests.support import service
from tests.support.cluster import Cluster
from tests.support.s3_peer import KeptInMemory, S3Peer, s3_peer
from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.model.session import ModelSession
from triage.queue.score_queue import Delay
from triage.runtime.child_pool import DecodePool
from triage.spool.cluster.cluster_store import ClusterStore
from triage.spool.cluster.s3_bucket import S3Bucket

__all__ = ["sessions"]  # a fixture


@pytest.fixture
def peer() -> Iterator[S3Peer]:
    with s3_peer(KeptInMemory()) as made:
        yield made


@pytest.fixture
def store(cluster: Cluster, peer: S3Peer) -> ClusterStore:
    return cluster.open(S3Bucket(peer.address))


def test_all_of_an_object_is_one_request(store: ClusterStore, peer: S3Peer):
    content = CONTENT * 1000  # more than is fetched to open it
    receive(store, A, content)
    peer.asked.clear()
    assert store.waiting_object(A).read_bytes() == content
    assert [asked.method for asked in peer.asked] == ["GET"]


def test_a_byte_that_changed_on_the_way_is_an_error_and_the_next_reading_is_right(store: ClusterStore, peer: S3Peer):
    receive(store, A)
    peer.faults.append("corrupt the answer")
    with pytest.raises(OSError, match="other bytes came than were acknowledged") as raised:
        store.waiting_object(A).read_bytes()
    assert raised.value.errno == errno.EIO
    assert store.waiting_object(A).read_bytes() == CONTENT


def test_a_byte_of_a_quarantined_object_too(store: ClusterStore, peer: S3Peer):
    upload = store.begin_upload()
    upload.write(memoryview(CONTENT))
    store.set_aside(upload, "of the test")
    upload.discard()
    quarantine = store.entries("quarantine")
    (name,) = (each for each in quarantine.names() if each.endswith(".dcm"))
    peer.faults.append("corrupt the answer")
    with pytest.raises(OSError, match="other bytes"):
        quarantine.get(name)
    assert quarantine.get(name) == CONTENT


def test_a_row_that_knows_no_checksum_is_held_against_its_size(store: ClusterStore, peer: S3Peer, cluster: Cluster):
    receive(store, A)
    cluster.rows("UPDATE object SET sha256 = NULL WHERE tenant = :tenant RETURNING 1")
    assert store.waiting_object(A).read_bytes() == CONTENT
    backend = peer.backend
    assert isinstance(backend, KeptInMemory)
    backend.objects = {key: content[:-1] for key, content in backend.objects.items()}
    with pytest.raises(OSError, match="other bytes"):
        store.waiting_object(A).read_bytes()


class TestScoring:
    @pytest.fixture
    def kept(self, cluster: Cluster) -> ClusterStore:
        return cluster.open()

    @pytest.fixture
    def bench(self, kept: ClusterStore, sessions: dict[str, ModelSession], pool: DecodePool) -> Bench:
        return Bench(kept, sessions, pool)  # type: ignore[arg-type]

    @pytest.mark.parametrize("at", ["a pixel", "the sender's name"])
    def test_a_changed_picture_is_not_scored(self, bench: Bench, kept: ClusterStore, cluster: Cluster, at: str):
        """The picture would be read as another one: nothing but the checksum says that it is wrong."""
        instance = service.receive(kept, service.a_chest())  # type: ignore[arg-type]
        (path,) = (each for each in cluster.bucket.folder.iterdir() if not each.name.startswith("."))
        right = path.read_bytes()
        path.write_bytes(_changed(right, len(right) - 1000 if at == "a pixel" else right.index(b"calling_ae_title")))
        (failed,) = bench.work([instance])
        assert "cannot be read from the store" in failed.error and "other bytes came" in failed.error
        assert bench.indexed == {} and list(kept.waiting()) == [instance]

        path.write_bytes(right)
        assert bench.work([instance]) == [] and bench.only().tag is not Tag.NOT_ASSESSED

    def test_one_that_the_bucket_does_not_find_is_none_that_cannot_be_decoded(
        self, bench: Bench, kept: ClusterStore, cluster: Cluster
    ):
        """A filer that is behind, a replica, a bucket that was restored older: the row says that it was received."""
        instance = service.receive(kept, service.a_chest())  # type: ignore[arg-type]
        (path,) = (each for each in cluster.bucket.folder.iterdir() if not each.name.startswith("."))
        right = path.read_bytes()
        path.unlink()
        (failed,) = bench.work([instance])
        assert failed.delay is Delay.UNREAD and "the store has it, and no bytes of it" in failed.error
        assert bench.indexed == {} and list(kept.waiting()) == [instance]

        path.write_bytes(right)
        assert bench.work([instance]) == [] and bench.only().tag is not Tag.NOT_ASSESSED

    def test_one_that_stays_wrong_is_not_assessed(self, bench: Bench, kept: ClusterStore, cluster: Cluster):
        instance = service.receive(kept, service.a_chest())  # type: ignore[arg-type]
        (path,) = (each for each in cluster.bucket.folder.iterdir() if not each.name.startswith("."))
        path.write_bytes(_changed(path.read_bytes(), -1000))
        (failed,) = bench.work([instance])
        bench.scorer.give_up(instance, failed.error, 3)
        assert bench.only().tag is Tag.NOT_ASSESSED
        (assessment,) = kept.assessments(instance.study_instance_uid)
        assert Reason.WORKER_FAILURE in assessment["reasons"]
        assert [letter for letter, _ in kept.dead_letters()] == [instance]


def _changed(content: bytes, at: int) -> bytes:
    changed = bytearray(content)
    changed[at] ^= 1
    return bytes(changed)
