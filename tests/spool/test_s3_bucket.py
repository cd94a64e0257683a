"""A bucket against a store in memory, and with `--weed` against a SeaweedFS (tests/acceptance/cluster.sh)."""

from __future__ import annotations

import errno
import multiprocessing
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import pytest

from tests.support.certificates import authority, server_context
from tests.support.s3_peer import Backend, Fault, Forwarded, KeptInMemory, S3Peer, Said, error, host_of, s3_peer
from triage.spool.cluster.address import BucketAddress
from triage.spool.cluster.s3_bucket import S3Bucket
from triage.spool.cluster.s3_probe import takes_wrong_checksum, try_bucket

CONTENT = os.urandom(700_000)
NO_PAUSE = (0.0, 0.0)


def put(bucket: S3Bucket, key: str = "a/1", content: bytes = CONTENT) -> None:
    bucket.put(key, BytesIO(content), len(content), sha256(content).digest())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", ["in memory", *["SeaweedFS"] * bool(metafunc.config.getoption("--weed"))])


@pytest.fixture
def peer(kind: str, request: pytest.FixtureRequest) -> Iterator[S3Peer]:
    """A store with faults before it."""
    backend: Backend = KeptInMemory()
    if kind == "SeaweedFS":
        backend = Forwarded(host_of(request.getfixturevalue("seaweed").address))
    with s3_peer(backend) as made:
        yield made


@pytest.fixture
def bucket(peer: S3Peer) -> Iterator[S3Bucket]:
    made = S3Bucket(peer.address, NO_PAUSE)
    yield made
    peer.faults.clear()
    for key in made.keys(""):
        made.delete(key)


class TestObjects:
    @pytest.mark.parametrize("size", [0, 1, 262_144, 262_145, 15_000_000])
    def test_what_is_put_can_be_read(self, bucket: S3Bucket, size: int):
        content = os.urandom(size)
        put(bucket, "a/1", content)
        assert bucket.read("a/1") == content
        assert bucket.size("a/1") == size
        with bucket.open("a/1") as file:
            assert file.read() == content

    def test_as_many_bytes_are_put_as_are_said_from_where_the_content_stands(self, bucket: S3Bucket):
        content = BytesIO(b"before" + CONTENT + b"after")
        content.seek(6)
        bucket.put("a/1", content, len(CONTENT), sha256(CONTENT).digest())
        assert bucket.read("a/1") == CONTENT

    def test_what_is_not_there_is_not_found(self, bucket: S3Bucket):
        for act in (bucket.read, bucket.size, bucket.open):
            with pytest.raises(FileNotFoundError):
                act("a/none")

    def test_what_is_deleted_is_gone_and_may_be_deleted_again(self, bucket: S3Bucket):
        put(bucket)
        bucket.delete("a/1")
        bucket.delete("a/1")
        with pytest.raises(FileNotFoundError):
            bucket.size("a/1")

    def test_keys_are_listed_by_their_prefix_page_by_page(self, bucket: S3Bucket):
        for number in range(5):
            put(bucket, f"a/{number}", b"x")
        put(bucket, "b/1", b"x")
        assert list(bucket.keys("a/")) == [f"a/{number}" for number in range(5)]

    def test_its_name_has_no_secret(self, bucket: S3Bucket, peer: S3Peer):
        assert bucket.name == f"127.0.0.1:{peer.port}/radiographs"
        assert "triagesecret" not in repr(peer.address)


class TestReading:
    def test_a_header_and_the_pixels_behind_it_are_two_requests(self, bucket: S3Bucket, peer: S3Peer):
        put(bucket)
        peer.asked.clear()
        with bucket.open("a/1") as file:
            for at in range(0, 16_384, 128):
                file.seek(at)
                assert file.read(64) == CONTENT[at : at + 64]
            assert file.seek(0, os.SEEK_END) == len(CONTENT)
            file.seek(20_000)
            assert file.read(660_000) == CONTENT[20_000:680_000]
        assert len(peer.asked) == 2

    def test_a_whole_object_is_one_request(self, bucket: S3Bucket, peer: S3Peer):
        put(bucket)
        peer.asked.clear()
        assert bucket.read("a/1") == CONTENT
        assert len(peer.asked) == 1

    def test_it_is_read_like_a_file(self, bucket: S3Bucket, tmp_path: Path):
        put(bucket)
        (tmp_path / "file").write_bytes(CONTENT)
        with bucket.open("a/1") as ours, (tmp_path / "file").open("rb") as file:
            for at, whence, count in [
                (10, 0, 5),
                (5, 1, 0),
                (-7, 2, 20),
                (400_000, 0, 10),
                (262_140, 0, 10),
                (900_000, 0, 1),
                (-300_000, 1, 250_000),
                (0, 0, -1),
            ]:
                assert ours.seek(at, whence) == file.seek(at, whence)
                assert ours.read(count) == file.read(count)
                assert ours.tell() == file.tell()
            into = bytearray(50)
            ours.seek(-20, 2)
            assert ours.readinto(into) == 20 and into[:20] == CONTENT[-20:]
            with pytest.raises(ValueError):
                ours.seek(-1)

    def test_a_store_without_ranges_gives_the_same_bytes(self):
        with s3_peer(KeptInMemory(knows_ranges=False)) as peer:
            bucket = S3Bucket(peer.address, NO_PAUSE)
            put(bucket)
            with bucket.open("a/1") as file:
                file.seek(300_000)
                assert file.read(100) == CONTENT[300_000:300_100]

    def test_another_range_than_the_one_asked_for_is_an_error(self, bucket: S3Bucket, peer: S3Peer):
        put(bucket)
        peer.faults.append(Said(206, {"content-range": "bytes 0-9/700000"}, CONTENT[:9]))
        with pytest.raises(OSError, match="another range") as raised:
            bucket.open("a/1")
        assert raised.value.errno == errno.EIO

    def test_a_whole_object_with_another_checksum_than_stated_is_an_error(self):
        stated = Said(200, {"x-amz-checksum-sha256": "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="}, b"hell0")
        with s3_peer(lambda asked: stated) as peer, pytest.raises(OSError, match="other bytes") as raised:
            S3Bucket(peer.address, NO_PAUSE).read("a/1")
        assert raised.value.errno == errno.EIO


class TestIntegrity:
    def test_the_sha_256_goes_with_the_bytes_and_in_the_signature(self, bucket: S3Bucket, peer: S3Peer):
        put(bucket)
        (sent,) = (asked for asked in peer.asked if asked.method == "PUT")
        assert sent.headers["x-amz-content-sha256"] == sha256(CONTENT).hexdigest()
        assert "x-amz-checksum-sha256;x-amz-content-sha256" in sent.headers["authorization"]

    def test_bytes_that_change_on_the_way_are_refused_by_the_store(self, bucket: S3Bucket, peer: S3Peer):
        peer.faults.append("corrupt the body")
        with pytest.raises(OSError, match="BadDigest") as raised:
            put(bucket)
        assert raised.value.errno == errno.EIO
        assert list(bucket.keys("")) == []

    def test_content_that_is_not_that_of_its_digest_is_refused(self, bucket: S3Bucket):
        with pytest.raises(OSError) as raised:
            bucket.put("a/1", BytesIO(CONTENT), len(CONTENT), sha256(b"other").digest())
        assert raised.value.errno == errno.EIO

    def test_content_that_is_too_short_is_an_error(self, bucket: S3Bucket):
        with pytest.raises(OSError, match="ends 1 bytes before") as raised:
            bucket.put("a/1", BytesIO(CONTENT[1:]), len(CONTENT), sha256(CONTENT).digest())
        assert raised.value.errno == errno.EIO

    @pytest.mark.parametrize("states_checksums", [True, False])
    def test_a_store_that_verifies_nothing_is_found_out_by_its_etag(self, states_checksums: bool):
        backend = KeptInMemory(verifies=False, states_checksums=states_checksums)
        with s3_peer(backend) as peer:
            put(S3Bucket(peer.address, NO_PAUSE))
            peer.faults.append("corrupt the body")
            with pytest.raises(OSError, match="other bytes") as raised:
                put(S3Bucket(peer.address, NO_PAUSE), "a/2")
        assert raised.value.errno == errno.EIO

    def test_a_store_that_states_nothing_is_read_back(self):
        backend = KeptInMemory(verifies=False, states_checksums=False, states_etags=False)
        with s3_peer(backend) as peer:
            put(S3Bucket(peer.address, NO_PAUSE))
            assert [asked.method for asked in peer.asked] == ["PUT", "GET"]
            peer.faults.append("corrupt the body")
            with pytest.raises(OSError, match="other bytes") as raised:
                put(S3Bucket(peer.address, NO_PAUSE), "a/2")
        assert raised.value.errno == errno.EIO

    def test_an_encrypting_store_has_another_etag(self):
        encrypted = Said(200, {"etag": '"' + "0" * 32 + '"', "x-amz-server-side-encryption": "aws:kms"})
        kept = KeptInMemory()

        def answer(asked):
            said = kept(asked)
            return Said(said.status, {**said.headers, **encrypted.headers}) if asked.method == "PUT" else said

        with s3_peer(answer) as peer:
            put(S3Bucket(peer.address, NO_PAUSE))
            assert [asked.method for asked in peer.asked] == ["PUT"]


FAULTS = {
    "SlowDown": (error(503, "SlowDown"), errno.EAGAIN),
    "InternalError": (error(500, "InternalError"), errno.EAGAIN),
    "429": (Said(429), errno.EAGAIN),
    "507": (Said(507), errno.ENOSPC),
    "MinIO's full": (error(507, "XMinioStorageFull"), errno.ENOSPC),
    "a quota": (error(403, "QuotaExceeded"), errno.EDQUOT),
    "Ceph's quota": (error(403, "QuotaExceeded"), errno.EDQUOT),
    "denied": (error(403, "AccessDenied"), errno.EACCES),
    "skewed": (error(403, "RequestTimeTooSkewed"), errno.EACCES),
    "no bucket": (error(404, "NoSuchBucket"), errno.ENXIO),
    "too large": (error(400, "EntityTooLarge"), errno.EFBIG),
    "elsewhere": (error(301, "PermanentRedirect"), errno.EIO),
    "another region": (error(400, "AuthorizationHeaderMalformed"), errno.EIO),
    "no page of ours": (Said(418, {}, b"<html>tea</html>"), errno.EIO),
}


class TestFaults:
    @pytest.mark.parametrize("fault", FAULTS)
    def test_each_is_an_error_of_the_system(self, bucket: S3Bucket, peer: S3Peer, fault: str):
        said, number = FAULTS[fault]
        peer.faults += [said] * 3
        with pytest.raises(OSError) as raised:
            put(bucket)
        assert raised.value.errno == number
        assert raised.value.strerror and "PUT 127.0.0.1" in raised.value.strerror
        assert not isinstance(raised.value, FileNotFoundError)

    def test_one_that_passes_is_tried_again(self, bucket: S3Bucket, peer: S3Peer):
        faults: list[Fault | Said] = [error(503, "SlowDown"), "cut"]
        peer.faults += faults
        put(bucket)
        assert bucket.read("a/1") == CONTENT
        peer.faults += faults
        assert bucket.read("a/1") == CONTENT

    def test_one_that_stays_is_given_up(self, bucket: S3Bucket, peer: S3Peer):
        peer.faults += [error(503, "SlowDown")] * 4
        with pytest.raises(BlockingIOError):
            put(bucket)
        assert len(peer.asked) == 3

    def test_one_that_does_not_pass_is_not_tried_again(self, bucket: S3Bucket, peer: S3Peer):
        peer.faults += [error(403, "AccessDenied")] * 2
        with pytest.raises(PermissionError, match="let its user read, write, delete and list"):
            put(bucket)
        assert len(peer.asked) == 1

    def test_an_answer_that_is_lost_is_asked_for_again(self, bucket: S3Bucket, peer: S3Peer):
        peer.faults.append("lose the answer")
        put(bucket)
        assert bucket.read("a/1") == CONTENT

    def test_half_an_answer_is_none(self, bucket: S3Bucket, peer: S3Peer):
        put(bucket)
        peer.faults += ["cut the answer"] * 3
        with pytest.raises(ConnectionResetError):
            bucket.read("a/1")
        peer.faults.append("cut the answer")
        assert bucket.read("a/1") == CONTENT

    def test_a_store_that_is_silent_is_given_up_in_time(self, peer: S3Peer):
        peer.faults.append("hold")
        bucket = S3Bucket(replace(peer.address, timeout_s=0.3), NO_PAUSE)
        with pytest.raises(TimeoutError):
            bucket.size("a/1")

    def test_no_server_is_a_connection_refused(self):
        with pytest.raises(ConnectionRefusedError, match="no server answers"):
            S3Bucket(BucketAddress("http://127.0.0.1:1", "radiographs", "a", "b"), NO_PAUSE).size("a/1")

    def test_a_name_that_is_not_known_is_no_object_that_is_gone(self):
        with pytest.raises(OSError, match="name of the endpoint") as raised:
            S3Bucket(BucketAddress("http://nosuch.invalid", "radiographs", "a", "b"), ()).size("a/1")
        # Where there is no resolver, it is not known whether there is such a name.
        unknown = {socket.EAI_AGAIN: errno.EHOSTUNREACH}.get(raised.value.__cause__.errno, errno.ENXIO)
        assert raised.value.errno == unknown and raised.value.filename == "s3://nosuch.invalid"

    def test_a_list_that_is_none_is_an_error(self, bucket: S3Bucket, peer: S3Peer):
        peer.faults.append(Said(200, {}, b"<not xml"))
        with pytest.raises(OSError, match="list of keys"):
            list(bucket.keys(""))


class TestConnections:
    def test_one_is_used_again(self, bucket: S3Bucket, peer: S3Peer):
        for number in range(5):
            put(bucket, f"a/{number}", b"x")
        assert peer.connections == 1

    def test_one_that_the_store_ended_meanwhile_is_no_fault(self, peer: S3Peer):
        bucket = S3Bucket(peer.address, ())
        for number in range(3):
            peer.faults.append("end without a word")
            put(bucket, f"a/{number}", b"x")
        assert peer.connections == 3
        for key in bucket.keys(""):
            bucket.delete(key)

    def test_threads_have_their_own(self, bucket: S3Bucket):
        contents = {f"a/{number}": os.urandom(50_000) for number in range(8)}
        found: dict[str, bytes] = {}

        def move(key: str) -> None:
            put(bucket, key, contents[key])
            found[key] = bucket.read(key)

        threads = [threading.Thread(target=move, args=(key,)) for key in contents]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert found == contents

    def test_a_child_connects_by_itself(self, bucket: S3Bucket, peer: S3Peer):
        put(bucket)
        child = multiprocessing.get_context("fork").Process(target=_reads, args=(bucket, CONTENT))
        child.start()
        child.join(60)
        assert child.exitcode == 0
        assert bucket.read("a/1") == CONTENT
        assert peer.connections == 2

    def test_it_can_be_sent_to_another_process(self, bucket: S3Bucket):
        put(bucket)
        sent = ForkingPickler.loads(ForkingPickler.dumps(bucket))
        assert sent.read("a/1") == CONTENT


def _reads(bucket: S3Bucket, content: bytes) -> None:
    assert bucket.read("a/1") == content


class TestTls:
    def test_the_store_is_known_by_its_authority(self, tmp_path: Path):
        known = authority(tmp_path)
        with s3_peer(KeptInMemory(), server_context(known.certificate("s3"))) as peer:
            bucket = S3Bucket(replace(peer.address, ca_file=known.path), NO_PAUSE)
            put(bucket)
            assert bucket.read("a/1") == CONTENT

            with pytest.raises(OSError, match="certificate is not trusted") as raised:
                S3Bucket(peer.address, NO_PAUSE).size("a/1")
            assert raised.value.errno == errno.EPROTO

    def test_a_file_of_authorities_that_is_not_there_is_told_at_once(self, tmp_path: Path):
        with pytest.raises(FileNotFoundError, match="file of authorities"):
            S3Bucket(BucketAddress("https://127.0.0.1:1", "b", "a", "b", ca_file=tmp_path / "none.pem"))
        (tmp_path / "odd.pem").write_text("no certificate")
        with pytest.raises(OSError, match=r"odd\.pem cannot be read") as raised:
            S3Bucket(BucketAddress("https://127.0.0.1:1", "b", "a", "b", ca_file=tmp_path / "odd.pem"))
        assert raised.value.errno == errno.EINVAL


class TestTrial:
    def test_a_store_that_does_all_of_it(self, peer: S3Peer):
        assert list(try_bucket(peer.address)) == []
        assert list(S3Bucket(peer.address).keys("")) == []

    def test_a_store_that_takes_a_wrong_checksum_is_found(self):
        backend = KeptInMemory(verifies=False)
        with s3_peer(backend) as peer:
            assert takes_wrong_checksum(peer.address)
            (said,) = try_bucket(peer.address)
        assert "does not verify" in said and backend.objects == {}

    def test_a_store_that_cannot_be_written_says_why(self, peer: S3Peer):
        peer.faults.append(error(403, "AccessDenied"))
        with pytest.raises(PermissionError, match="let its user"):
            list(try_bucket(peer.address))
