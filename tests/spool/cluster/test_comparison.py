"""The bucket is held against the database: what is missing, what is wrong, what no row names, and nothing else."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.spool.test_store_contract import CONTENT, A, B, receive, tag
from tests.support.archived_postgres import ArchivedPostgres
from tests.support.builders import an_instance
from tests.support.cluster import Cluster, new_cluster
from tests.support.failing_buckets import ActingBucket, Gate
from tests.support.file_bucket import FileBucket, digest_of
from tests.support.service import a_chest
from tests.support.service import receive as receive_file
from triage.spool.cluster.key_rows import key_rows
from triage.spool.cluster.rows import PAGE
from triage.spool.comparing.comparison import StoreComparison
from triage.spool.comparing.values import Fault, Finding, Look, LookCounts
from triage.spool.instance import ReceivedInstance

LATER = 4e9


def comparison(cluster: Cluster, bucket: FileBucket | None = None) -> StoreComparison:
    found = bucket or cluster.bucket
    return StoreComparison(key_rows(cluster.address, found), found)


def found(cluster: Cluster, look: Look | None = None, counts: LookCounts | None = None) -> list[Finding]:
    return list(comparison(cluster).findings(look or Look(), counts or LookCounts()))


def path_of(cluster: Cluster, instance: ReceivedInstance) -> Path:
    sql = f"SELECT key FROM object WHERE tenant = :tenant AND study_uid = '{instance.study_instance_uid}'"
    ((key,),) = cluster.rows(sql)
    return cluster.bucket.folder / quote(str(key), safe="")


def put(cluster: Cluster, key: str, content: bytes = CONTENT) -> None:
    cluster.bucket.put(key, BytesIO(content), len(content), digest_of(content))


def some(cluster: Cluster) -> None:
    """Objects in each state, an entry, a partition, an upload and a dead key."""
    store = cluster.open()
    for instance in (A, B, an_instance(study="1.2.5", sop="1.2.5.4")):
        receive(store, instance)
    tag(store, A)
    store.bury(B, {"why": "of the test"})
    upload = store.begin_upload()
    upload.write(memoryview(b"no DICOM"))
    store.set_aside(upload, "of the test")
    upload.discard()
    receive(store, an_instance(study="1.2.6", sop="1.2.6.4"), into=store.partition("canary").partition("inner"))
    removed = an_instance(study="1.2.7", sop="1.2.7.4")
    receive(store, removed)
    tag(store, removed)
    with store.study_lock("1.2.7"):
        store.remove_study("1.2.7")  # its key waits for the sweep


def test_a_store_at_rest_agrees(cluster: Cluster):
    some(cluster)
    counts = LookCounts()
    assert found(cluster, counts=counts) == []
    assert (counts.rows, counts.keys) == (5, 6)  # one is dead, and in the bucket still
    assert found(cluster, Look(read=True)) == []


DAMAGE: dict[str, tuple[Callable[[Path], object], Fault, bool]] = {
    "gone": (lambda path: path.unlink(), Fault.MISSING, False),
    "shorter": (lambda path: path.write_bytes(CONTENT[:-1]), Fault.SIZE, False),
    "another byte": (lambda path: path.write_bytes(b"x" + CONTENT[1:]), Fault.CONTENT, True),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_a_row_names_is_there_as_it_says(cluster: Cluster, damage: str):
    some(cluster)
    act, fault, needs_reading = DAMAGE[damage]
    act(path_of(cluster, A))
    (finding,) = found(cluster, Look(read=needs_reading))
    assert finding.fault is fault
    assert finding.identity.study_instance_uid == A.study_instance_uid
    assert finding.identity.sop_instance_uid == A.sop_instance_uid
    if needs_reading:
        assert found(cluster) == []


def test_what_an_entry_names_is_there_too(cluster: Cluster):
    some(cluster)
    ((key,),) = cluster.rows("SELECT key FROM entry WHERE tenant = :tenant AND key IS NOT NULL")
    cluster.bucket.delete(str(key))
    assert [(each.fault, each.key) for each in found(cluster)] == [(Fault.MISSING, key)]


def test_a_key_that_no_row_names_is_told_with_its_object(cluster: Cluster):
    store = cluster.open()
    kept = receive_file(store, a_chest(1))  # type: ignore[arg-type]
    content = path_of(cluster, kept).read_bytes()
    tenant = cluster.address.tenant
    put(cluster, f"{tenant}/main/{kept.content_digest}/0", content)
    put(cluster, f"{tenant}/main/{'0' * 64}/1", a_chest(2))
    put(cluster, f"{tenant}/unknown/x/2", b"no DICOM")
    put(cluster, "another-tenant/main/x/3")
    unnamed = {each.key.rpartition("/")[2]: each for each in found(cluster)}
    assert {each.fault for each in unnamed.values()} == {Fault.UNNAMED} and set(unnamed) == {"0", "1", "2"}
    assert unnamed["0"].identity.study_instance_uid == kept.study_instance_uid and unnamed["0"].identity.kept
    assert unnamed["1"].identity.study_instance_uid and not unnamed["1"].identity.kept
    assert unnamed["2"].identity.study_instance_uid == "" and not unnamed["2"].identity.kept

    os.utime(cluster.bucket.folder / quote(unnamed["1"].key, safe=""), (1000, 1000))
    assert [each.key for each in found(cluster, Look(put_before=2000))] == [unnamed["1"].key]


def test_what_is_removed_has_no_row(cluster: Cluster):
    some(cluster)
    put(cluster, f"{cluster.address.tenant}/main/x/1")
    before = cluster.keys()
    (finding,) = found(cluster)
    comparing = comparison(cluster)
    assert comparing.remove(finding) and cluster.keys() == [key for key in before if key != finding.key]
    ((named,),) = cluster.rows("SELECT min(key) FROM object WHERE tenant = :tenant")
    assert not comparing.remove(Finding(Fault.UNNAMED, str(named), 1, finding.identity))
    assert not comparing.remove(Finding(Fault.MISSING, finding.key, 1, finding.identity))
    assert found(cluster) == []


def test_an_upload_that_is_going_on_is_no_difference(cluster: Cluster):
    gate, outcome = Gate(), list[bool]()
    slow = cluster.open(ActingBucket(cluster.bucket.folder, after=gate.wait))
    thread = threading.Thread(target=lambda: outcome.append(receive(slow, A)))
    thread.start()
    assert gate.reached.wait(60)
    assert found(cluster) == [] and len(cluster.keys()) == 1
    gate.opened.set()
    thread.join(60)
    assert outcome == [True] and found(cluster) == []


def begun(cluster: Cluster, late: str) -> str:
    """The key of an upload whose bytes are in the bucket, with the deadline or timeline that the statement sets."""
    key = f"{cluster.address.tenant}/main/{'0' * 64}/1"
    put(cluster, key)
    cluster.rows(f"""INSERT INTO bucket_key (key, tenant, partition, state, deadline)
        VALUES ('{key}', :tenant, '', 'uploading', clock_timestamp() + interval '1 hour') RETURNING 1""")
    cluster.rows(f"UPDATE bucket_key SET {late} WHERE tenant = :tenant RETURNING 1")
    return key


LATE = {"late": "deadline = clock_timestamp() - interval '1 s'", "of another timeline": "timeline = '000000FF'"}


@pytest.mark.parametrize("late", LATE)
def test_an_upload_that_has_no_end_is_told_and_can_be_removed(cluster: Cluster, late: str):
    receive(cluster.open(), A)
    key = begun(cluster, LATE[late])
    (finding,) = found(cluster)
    assert (finding.fault, finding.key) == (Fault.UNNAMED, key)
    assert comparison(cluster).remove(finding) and found(cluster) == [] and len(cluster.keys()) == 1


@pytest.mark.parametrize("late", LATE)
def test_an_upload_that_ends_after_all_is_not_removed(cluster: Cluster, late: str):
    """Its row is written between the look and the removal."""
    gate, outcome = Gate(), list[bool]()
    slow = cluster.open(ActingBucket(cluster.bucket.folder, after=gate.wait))
    thread = threading.Thread(target=lambda: outcome.append(receive(slow, A)))
    thread.start()
    assert gate.reached.wait(60)
    cluster.rows(f"UPDATE bucket_key SET {LATE[late]} WHERE tenant = :tenant RETURNING 1")
    (finding,) = found(cluster)
    gate.opened.set()
    thread.join(60)
    assert outcome == [True] and not comparison(cluster).remove(finding) and found(cluster) == []


def test_the_sweep_keeps_what_may_be_the_only_copy(cluster: Cluster, caplog: pytest.LogCaptureFixture):
    store = cluster.open()
    receive(store, A)
    key = begun(cluster, f"{LATE['late']}, {LATE['of another timeline']}")
    store.remove_old_parts(LATER)
    assert cluster.keys().count(key) == 1 and key in caplog.text
    assert [each.key for each in found(cluster)] == [key]
    store.remove_old_parts(LATER)
    assert cluster.keys().count(key) == 1


def test_an_upload_of_before_a_restore_may_be_the_only_copy(tmp_path: Path):
    """The database goes back into the midst of an upload, whose end was acknowledged."""
    with ArchivedPostgres() as server:
        cluster, moments = new_cluster(server, tmp_path), list[str]()
        cluster.open()
        server.take_base_backup()
        during = ActingBucket(cluster.bucket.folder, after=lambda: moments.append(server.now()))
        assert receive(cluster.open(during), A)
        server.archive_all()
        cluster.close()
        server.lose()
        server.restore(moments[0])
        assert cluster.rows("SELECT state FROM bucket_key WHERE tenant = :tenant") == [["uploading"]]
        (finding,) = found(cluster)  # at once, its deadline has not passed
        assert finding.fault is Fault.UNNAMED and cluster.keys() == [finding.key]
        cluster.rows(f"UPDATE bucket_key SET {LATE['late']} WHERE tenant = :tenant RETURNING 1")
        cluster.open().remove_old_parts(LATER)
        assert [each.key for each in found(cluster)] == [finding.key] == cluster.keys()
        cluster.close()


@dataclass(frozen=True)
class BusyBucket(FileBucket):
    """A bucket in whose store something happens after it was listed, and before its rows are read, or the other way."""

    act: Callable[[], object] = lambda: None

    def folders(self, prefix: str):
        yield from list(super().folders(prefix))

    def listed(self, prefix: str, after: str = ""):
        before = list(super().listed(prefix, after))
        self.act()
        yield from before


@pytest.mark.parametrize("listed_first", [True, False])
def test_the_work_of_the_service_meanwhile_is_no_difference(
    cluster: Cluster, listed_first: bool, monkeypatch: pytest.MonkeyPatch
):
    """Received, removed and swept between the two looks: the later look alone decides."""
    some(cluster)
    store, done = cluster.open(), list[bool]()

    def act() -> None:
        if not done:
            done.append(True)
            receive(store, an_instance(study="1.2.8", sop="1.2.8.4"))
            with store.study_lock(A.study_instance_uid):
                store.remove_study(A.study_instance_uid)
            store.remove_old_parts(LATER)

    bucket = BusyBucket(cluster.bucket.folder, act if listed_first else lambda: None)
    comparing = comparison(cluster, bucket)
    if not listed_first:
        rows = comparing._rows
        real = rows.named

        def named(folder: str, after: str = ""):
            before = list(real(folder, after))
            act()
            yield from before

        monkeypatch.setattr(rows, "named", named)
    assert list(comparing.findings(Look(), LookCounts())) == []
    assert done


def test_it_goes_on_where_it_was_ended(cluster: Cluster):
    some(cluster)
    tenant = cluster.address.tenant
    for folder in ("canary+inner", "main", "main+x", "zz"):
        for number in range(3):
            put(cluster, f"{tenant}/{folder}/0/{number}")
    every = found(cluster)
    assert len(every) == 12
    for most in (1, 2, 5):
        parts, counts, after = list[Finding](), LookCounts(), ""
        while True:
            counts = LookCounts()
            parts += found(cluster, Look(after, most), counts)
            if counts.last == after:
                break
            after = counts.last
        assert parts == every


def test_more_keys_than_a_page_are_compared(cluster: Cluster):
    tenant, number = cluster.address.tenant, PAGE + 50
    cluster.rows(f"""INSERT INTO object (tenant, partition, study_uid, sop_uid, digest, state, key, size)
        SELECT :tenant, '', '1.2', '1.2.' || n, 'd', 'filed', '{tenant}/main/' || lpad(n::text, 6, '0') || '/x', 4
        FROM generate_series(1, {number}) AS n RETURNING 1""")
    counts = LookCounts()
    assert len(found(cluster, counts=counts)) == number == counts.rows


def test_an_engine_that_fails_ends_it(cluster: Cluster):
    some(cluster)
    path_of(cluster, A).unlink()

    class Refusing(FileBucket):
        def size(self, key: str) -> int:
            raise PermissionError(13, "refused")

    with pytest.raises(PermissionError):
        list(comparison(cluster, Refusing(cluster.bucket.folder)).findings(Look(), LookCounts()))


def test_a_bucket_that_does_not_delete_is_counted(cluster: Cluster):
    some(cluster)
    store = cluster.open()
    assert store.state().undeleted == 0
    cluster.rows("UPDATE bucket_key SET deadline = deadline - interval '2 hours' WHERE tenant = :tenant RETURNING 1")
    assert store.state().undeleted == 1
    store.remove_old_parts(LATER)
    assert store.state().undeleted == 0


@pytest.mark.parametrize("filed", [True, False])
def test_what_the_bucket_has_lost_comes_back_from_its_sender(cluster: Cluster, filed: bool):
    """A sender that sends it again is told that it is stored: then it is."""
    store = cluster.open()
    receive(store, A)
    if filed:
        tag(store, A)
    lost = path_of(cluster, A)
    lost.unlink()
    assert not receive(store, A)  # no new object
    assert found(cluster) == [] and path_of(cluster, A) != lost
    stored = store.stored_object(A)
    assert stored is not None and stored.read_bytes() == CONTENT and store.is_filed(A) == filed
    store.remove_old_parts(LATER)
    assert found(cluster) == [] and len(cluster.keys()) == 1


def test_a_bucket_that_does_not_say_takes_no_object_for_stored(cluster: Cluster):
    receive(cluster.open(), A)

    class Silent(FileBucket):
        def size(self, key: str) -> int:
            raise TimeoutError(110, "no answer")

    with pytest.raises(TimeoutError):
        receive(cluster.open(Silent(cluster.bucket.folder)), A)
