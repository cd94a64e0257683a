"""A spool where syncfs does nothing: each file and its name are synced by themselves before anybody relies on them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.spool.test_spool import receive
from tests.support import fuse_mount
from tests.support.builders import an_instance
from triage.delivery.outbox import Outbox
from triage.runtime import storage
from triage.runtime.durable import write_durably
from triage.spool import files as files_module
from triage.spool.spool import Spool


@dataclass
class Disk:
    """A spool, and the inodes that were synced since ``forget``."""

    spool: Spool
    inodes: set[int] = field(default_factory=set)
    whole: int = 0

    def forget(self) -> None:
        self.inodes.clear()

    def unsynced(self) -> list[str]:
        """Files and folders of which nobody has waited until they are on the disk; locks hold nothing."""
        paths = [path for path in self.spool.studies.rglob("*") if path.name != ".lock"]
        return sorted(str(path) for path in paths if path.stat().st_ino not in self.inodes)


@pytest.fixture(params=["FUSE", "local"])
def disk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """A spool on a real FUSE mount where one can be made, else one that is taken for that; and one on this disk."""
    real_fsync, real_syncfs = os.fsync, storage.sync_file_system
    with fuse_mount.mounted(tmp_path) as mount:
        if request.param == "FUSE" and mount is None:
            monkeypatch.setattr(storage, "file_system_type", lambda _: fuse_mount.FUSE)
        folder = mount if request.param == "FUSE" and mount else tmp_path
        made = Disk(Spool.open(folder / "spool"))

        def fsync(descriptor: int) -> None:
            real_fsync(descriptor)
            made.inodes.add(os.fstat(descriptor).st_ino)

        def syncfs(where: Path) -> None:
            real_syncfs(where)
            made.whole += 1

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(files_module, "sync_file_system", syncfs)
        yield made


def a_batch(spool: Spool) -> None:
    """What a worker writes of a study before it takes the object out of the inbox."""
    instance = an_instance()
    receive(spool, instance)
    outbox = Outbox(spool)
    outbox.prepare(["pacs"])
    with spool.study_lock(instance.study_instance_uid):
        spool.write_assessment(instance, {"tag": "NORMAL"})
        spool.write_decision(instance.study_instance_uid, {"tag": "NORMAL"})
        outbox.mark(instance.study_instance_uid, "pacs")
    spool.sync()


def test_whatever_a_batch_wrote_is_on_the_disk_after_sync(disk: Disk) -> None:
    a_batch(disk.spool)
    if disk.spool.file_system.syncs_whole:
        assert disk.whole == 1
        assert len(disk.unsynced()) >= 3  # the assessment, the decision, the history: one syncfs for all of them
        return
    assert disk.whole == 0
    assert disk.unsynced() == []
    (mark,) = (disk.spool.root / "marks" / "pacs").iterdir()
    assert {mark.stat().st_ino, mark.parent.stat().st_ino} <= disk.inodes


def test_an_object_is_synced_under_the_name_that_it_is_found_by(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def renamed(source: Path, target: Path) -> Path:
        disk.forget()
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", renamed)
    receive(disk.spool, an_instance())
    (waiting,) = disk.spool.inbox.iterdir()
    assert waiting.parent.stat().st_ino in disk.inodes
    assert (waiting.stat().st_ino in disk.inodes) is not disk.spool.file_system.syncs_whole


def test_an_object_that_is_there_already_is_synced_before_it_is_acknowledged_again(disk: Disk) -> None:
    receive(disk.spool, an_instance())
    disk.forget()
    assert not receive(disk.spool, an_instance())
    (waiting,) = disk.spool.inbox.iterdir()
    assert waiting.parent.stat().st_ino in disk.inodes
    assert (waiting.stat().st_ino in disk.inodes) is not disk.spool.file_system.syncs_whole


def test_a_file_outside_the_spool_is_synced_under_its_name_too(disk: Disk) -> None:
    file = disk.spool.root.parent / "users.json"
    write_durably(file, "first")
    disk.forget()
    write_durably(file, "second")
    assert file.read_text() == "second"
    assert file.stat().st_ino in disk.inodes


def test_a_worker_may_file_an_object_while_another_sender_s_copy_is_acknowledged(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance, spool = an_instance(), disk.spool
    receive(spool, instance)
    find = Spool.find

    def found_and_filed(self: Spool, each: object) -> Path | None:
        found = find(self, instance)
        spool.file(instance)
        return found

    monkeypatch.setattr(Spool, "find", found_and_filed)
    assert not receive(spool, instance)
    assert spool.filed_path(instance).exists()
