"""A store in PostgreSQL and a bucket is moved into files again, with all that it has."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from tests.spool.test_moving import CrashError, all_differences, crash_at_write, source
from tests.spool.test_store_contract import A, receive
from tests.support.builders import an_instance
from tests.support.child_process import Child
from tests.support.cluster import Cluster
from tests.support.service import a_chest
from tests.support.service import receive as received
from triage.scoring.assess import AssessmentPolicy
from triage.scoring.batch import OpenError, _digest_to_compare, open_file
from triage.scoring.decode_context import DecodeContext
from triage.spool.cluster.backdated_rows import backdated_rows
from triage.spool.cluster.cluster_store import ClusterStore
from triage.spool.cluster.opening import open_cluster
from triage.spool.moving.backdating import FileBackdating
from triage.spool.moving.errors import MoveError
from triage.spool.moving.move import MoveCounts, move, refuse_at_work, refuse_connected
from triage.spool.moving.study import MoveTarget
from triage.spool.spool import Spool

__all__ = ["source"]  # a fixture: a spool with something of everything


@pytest.fixture
def shared(source: Spool, cluster: Cluster) -> ClusterStore:
    """A shared store with something of everything, long ago."""
    for path in source.root.rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    store = cluster.open()
    move(source, MoveTarget(store, backdated_rows(cluster.address, cluster.bucket)), lambda counts: None)
    return store


def test_a_process_without_a_lease_is_seen_by_its_session(cluster: Cluster):
    """A listener and a web process have none."""
    server = cluster.server
    address = replace(cluster.address, database=server.address(server.new_database()))

    def child(tell: Callable[[str], None], heard: Callable[[], str]) -> None:
        store = open_cluster(address, cluster.bucket)
        receive(store, A)  # type: ignore[arg-type]
        tell(str(os.getpid()))
        heard()

    source = open_cluster(address, cluster.bucket)
    source.installation_uid()
    refuse_connected(source)  # not by our own sessions
    with Child(child) as process:
        pid = process.line()
        with pytest.raises(MoveError, match=rf" {pid}\. Stop all of them first"):
            refuse_connected(source)
        other = open_cluster(replace(address, tenant="another"), cluster.bucket)
        other.installation_uid()
        refuse_connected(source)  # it cannot be told whose sessions they are
    source.close()  # type: ignore[attr-defined]
    other.close()  # type: ignore[attr-defined]


def moved_back(shared: ClusterStore, target: Spool) -> MoveCounts:
    return move(shared, MoveTarget(target, FileBackdating(target)), lambda counts: None)


def test_there_and_back_is_the_same(source: Spool, shared: ClusterStore, tmp_path: Path):
    target = Spool.open(tmp_path / "target")
    counts = moved_back(shared, target)
    assert (counts.studies, counts.objects, counts.dead_letters) == (3, 4, 1)
    assert all_differences(shared, target) == []  # type: ignore[arg-type]
    assert all_differences(source, target) == []
    assert target.installation_uid() == source.installation_uid()
    assert target.touched("1.2.3") == target.decided_at("1.2.3") == target.oldest_waiting() == 1_700_000_000
    assert {at for at, _ in target.entries("marks", "ris").by_time()} == {1_700_000_000}


def test_what_changes_meanwhile_is_followed_and_removed(shared: ClusterStore, tmp_path: Path):
    target = Spool.open(tmp_path / "target")
    moved_back(shared, target)
    new = an_instance(study="1.2.6", sop="1.2.6.4")
    receive(shared, new)
    with shared.study_lock("1.2.3"):
        shared.remove_study("1.2.3")
    shared.channel_switches.set_disabled("ris", False)
    moved_back(shared, target)
    assert all_differences(shared, target) == []  # type: ignore[arg-type]
    assert not target.has_study("1.2.3") and new in set(target.waiting())


def test_it_goes_on_after_a_crash_at_any_write(shared: ClusterStore, tmp_path: Path):
    for crash_at in count(1, 4):
        target = Spool.open(tmp_path / f"target-{crash_at}")
        crash_at_write(target, crash_at)
        try:
            moved_back(shared, target)
        except CrashError:
            moved_back(shared, Spool.open(target.root))
            assert all_differences(shared, Spool.open(target.root)) == []  # type: ignore[arg-type]
        else:
            break
    assert crash_at > 20


def test_a_byte_that_the_bucket_has_changed_does_not_become_another_object(
    shared: ClusterStore, cluster: Cluster, tmp_path: Path
):
    for path in cluster.bucket.folder.iterdir():
        path.write_bytes(b"x" + path.read_bytes()[1:])
    with pytest.raises(OSError, match="other bytes came"):
        moved_back(shared, Spool.open(tmp_path / "target"))


def test_a_shared_store_at_work_is_refused(shared: ClusterStore):
    refuse_at_work(shared)
    with shared.workers.hold("worker-1"), pytest.raises(MoveError, match="stop all of them"):
        refuse_at_work(shared)


def test_an_object_that_is_lost_ends_it(shared: ClusterStore, cluster: Cluster, tmp_path: Path):
    receive(shared, A)
    for path in cluster.bucket.folder.iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError):
        moved_back(shared, Spool.open(tmp_path / "target"))


def test_an_object_that_a_disk_altered_before_a_move_is_not_scored_after_it(cluster: Cluster, tmp_path: Path):
    """Its row has the SHA-256 of what was moved, so that the store finds nothing wrong with it."""
    spool, store = Spool.open(tmp_path / "spool"), cluster.open()
    sound, altered = received(spool, a_chest(1)), received(spool, a_chest(2))
    path = spool.inbox_path(altered)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    for instance in (sound, altered):
        os.utime(spool.inbox_path(instance), (1_700_000_000, 1_700_000_000))
    move(spool, MoveTarget(store, backdated_rows(cluster.address, cluster.bucket)), lambda counts: None)
    context = DecodeContext.of({}, AssessmentPolicy())
    opened = store.waiting_object(altered)
    assert opened.read_bytes() == bytes(content)
    with pytest.raises(OpenError, match="not those that were received"):
        open_file(opened, context, _digest_to_compare(opened, altered))
    opened = store.waiting_object(sound)
    assert open_file(opened, context, _digest_to_compare(opened, sound)).receipt.calling_ae_title == "TEST"
