"""The file system of a folder, as the kernel reports it, and whether its syncfs is trusted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support import fuse_mount, small_disk
from triage.runtime import storage
from triage.runtime.storage import FileSystem, begin_writing_out, file_system_of, file_system_type, sync_file_system


def test_a_tmpfs_is_known_as_one_and_cautioned_against(tmp_path: Path) -> None:
    with small_disk.mounted(tmp_path, 1) as folder:
        found = file_system_of(folder)
        assert (found.name, found.syncs_whole) == ("tmpfs", True)
        assert "in memory" in found.caution
        sync_file_system(folder)


def test_proc_is_a_file_system_of_no_kind_that_is_believed() -> None:
    assert file_system_type(Path("/proc")) == 0x9FA0
    assert not file_system_of(Path("/proc")).syncs_whole
    assert "0x9fa0" in file_system_of(Path("/proc")).caution


@pytest.mark.parametrize(
    ("number", "name", "whole"),
    [
        (0xEF53, "ext2, ext3 or ext4", True),
        (0x58465342, "XFS", True),
        (0x9123683E, "Btrfs", True),
        (0x65735546, "FUSE", False),
        (0x6969, "NFS", False),
        (0xFF534D42, "CIFS", False),
        (0xFE534D42, "SMB", False),
        (0x01021997, "9P", False),
        (0x00C36400, "Ceph", False),
        (0x794C7630, "overlay", False),
        (0x12345678, "a file system of type 0x12345678", False),
    ],
)
def test_only_what_writes_to_a_disk_of_this_machine_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, name: str, whole: bool
) -> None:
    monkeypatch.setattr(storage, "file_system_type", lambda _: number)
    found = file_system_of(tmp_path)
    assert found == FileSystem(name, whole)
    assert bool(found.caution) is not whole


def test_a_fuse_mount_says_that_it_synced_and_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fuse_mount.mounted(tmp_path) as mount:
        if mount is None:
            monkeypatch.setattr(storage, "file_system_type", lambda _: fuse_mount.FUSE)
        folder = mount or tmp_path
        sync_file_system(folder)  # raises nothing
        assert file_system_of(folder) == FileSystem("FUSE", syncs_whole=False)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    for ask in (file_system_type, sync_file_system):
        with pytest.raises(FileNotFoundError):
            ask(tmp_path / "nowhere")


def test_writing_out_is_begun_where_the_system_can_and_fails_without_harm(tmp_path: Path) -> None:
    path = tmp_path / "object"
    path.write_bytes(b"x" * 8192)
    with path.open("r+b") as file:
        assert begin_writing_out(file.fileno(), 0, 8192)
    assert path.read_bytes() == b"x" * 8192
    read, write = os.pipe()
    try:
        assert not begin_writing_out(write, 0, 8192)
    finally:
        os.close(read)
        os.close(write)
