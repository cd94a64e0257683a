"""Backups of a spool at rest: what is copied, what is left by a kill, what is refused."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from tests.support.studies import a_study
from triage.backup.archive import Archive
from triage.backup.file_sources import AuditTrailSource, FileSource, FolderSource
from triage.backup.make import MadeBackup, make
from triage.backup.manifest import BackupError
from triage.backup.restore import FolderTarget, restore
from triage.backup.spool_source import SpoolSource
from triage.spool.spool import Spool

TRIAGE = Path(sys.executable).parent / "triage"


def backed_up(spool: Spool, folder: Path, keep: int = 0) -> MadeBackup:
    """A second later than the last: names are by the time."""
    last = Archive(folder).last() if folder.exists() else None
    return make([SpoolSource(spool)], Archive(folder), "0", keep, lambda: last.begun + 1 if last else time.time())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_second_backup_copies_only_what_is_new_and_the_first_can_still_be_restored(
    spool: Spool, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    first = a_study(spool, "pacs")
    made = backed_up(spool, folder)
    assert backed_up(spool, folder).copied == 0
    second = a_study(spool, "pacs")
    later = backed_up(spool, folder)
    assert 0 < later.copied < made.copied
    manifest = restore(Archive(folder), made.name, FolderTarget(tmp_path / "then"))
    assert list(Spool.open(tmp_path / "then" / "spool").study_uids()) == [first]
    assert manifest.counts == made.manifest.counts
    restore(Archive(folder), "", FolderTarget(tmp_path / "now"))
    assert set(Spool.open(tmp_path / "now" / "spool").study_uids()) == {first, second}


def test_what_is_restored_is_what_was_with_its_times_and_modes(spool: Spool, tmp_path: Path) -> None:
    uid = a_study(spool, "pacs")
    mark, folder = spool.root / "marks" / "pacs" / uid, spool.study_folder(uid)
    for path in (mark, folder):
        os.utime(path, ns=(1, 1_000_000_000_000_000_001))
    made = backed_up(spool, tmp_path / "backups")
    restore(Archive(tmp_path / "backups"), made.name, FolderTarget(tmp_path / "elsewhere"))
    found = tmp_path / "elsewhere" / "spool"
    had = {name: content for name, content in contents(spool.root).items() if not name.endswith(".lock")}
    assert contents(found) == had
    for path in (mark, folder):
        there = found / path.relative_to(spool.root)
        assert there.stat().st_mtime_ns == 1_000_000_000_000_000_001
        assert there.stat().st_mode == path.stat().st_mode
    assert not [path for path in found.rglob("*") if path.is_dir() and path.stat().st_mode & 0o077]


class Killed(BaseException):
    pass


def test_killed_at_any_file_the_last_backup_is_whole_and_the_next_one_is_made(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "backups"
    a_study(spool, "pacs")
    made = backed_up(spool, folder)
    add, number = Archive.add, iter(range(100))
    for fatal in range(4):
        a_study(spool, "pacs")
        number = iter(range(100))

        def killed(archive: Archive, *arguments: object, fatal: int = fatal, number: Iterator[int] = number) -> object:
            if next(number) == fatal:
                (archive.root / "contents" / "x.part").touch()
                raise Killed
            return add(archive, *arguments)  # type: ignore[arg-type]

        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(Archive, "add", killed)
            backed_up(spool, folder)
        assert Archive(folder).names() == [made.name]
        assert not list(Archive(folder).faults())
    # A power failure may have cut what no whole backup names: it is written again.
    known = {each.sha256 for each in made.manifest.entries}
    (cut, *_) = (path for path in folder.glob("contents/*/*") if path.name not in known)
    cut.write_bytes(b"")
    backed_up(spool, folder)
    assert not list(Archive(folder).faults())
    assert not list(folder.glob("contents/*.part"))


def test_a_full_disk_is_said_and_the_last_backup_stays(spool: Spool, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    a_study(spool, "pacs")
    made = backed_up(spool, folder)
    spool.write(spool.root / "control" / "large", os.urandom(200_000))

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    environment = {**os.environ, "TRIAGE_SPOOL_PATH": str(spool.root), "TRIAGE_MODELS_PATH": str(tmp_path)}
    done = subprocess.run(
        [TRIAGE, "backup", folder], env=environment, cwd=tmp_path, capture_output=True, text=True, preexec_fn=small
    )
    assert done.returncode == 1
    assert "cannot be written: File too large; earlier backups in it are as they were" in done.stderr
    assert Archive(folder).names() == [made.name]
    assert not list(Archive(folder).faults())


def test_old_backups_go_with_what_only_they_had(spool: Spool, tmp_path: Path) -> None:
    folder, gone = tmp_path / "backups", a_study(spool)
    backed_up(spool, folder)
    spool.remove_study(gone)
    stays = a_study(spool)
    backed_up(spool, folder)
    assert backed_up(spool, folder, keep=1).removed == 2
    assert len(Archive(folder).names()) == 1
    assert not list(Archive(folder).faults())
    assert gone.encode() not in b"".join(contents(folder / "contents").values())
    assert stays.encode() in b"".join(contents(folder / "contents").values())


def test_what_cannot_be_read_is_named_and_costs_itself_only(spool: Spool, tmp_path: Path) -> None:
    broken, whole = a_study(spool), a_study(spool)
    (spool.study_folder(broken) / "broken+x.json").mkdir()
    made = backed_up(spool, tmp_path / "backups")
    (left_out,) = made.manifest.left_out
    assert left_out == f"spool/studies/{spool.study_folder(broken).parent.name}/{broken}: Is a directory"
    assert any(whole in each.path for each in made.manifest.entries)


def test_a_damaged_backup_is_found_and_not_restored(spool: Spool, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    a_study(spool)
    made = backed_up(spool, folder)
    archive = Archive(folder)
    entry = max((each for each in made.manifest.entries if each.sha256), key=lambda each: each.size)
    content = folder / "contents" / entry.sha256[:2] / entry.sha256
    content.write_bytes(content.read_bytes()[:-1] + b"?")
    assert list(archive.faults()) == [f"{entry.path} is damaged"]
    with pytest.raises(BackupError, match="is damaged"):
        restore(archive, "", FolderTarget(tmp_path / "elsewhere"))
    assert not (tmp_path / "elsewhere" / "spool").exists()  # nothing that could be started
    manifest = folder / "manifests" / f"{made.name}.jsonl"
    manifest.write_text(manifest.read_text().replace('"mode": 384', '"mode": 511'))
    with pytest.raises(BackupError, match="was changed or damaged"):
        archive.manifest()


def test_only_an_empty_folder_is_taken(spool: Spool, tmp_path: Path) -> None:
    backed_up(spool, tmp_path / "backups")
    with pytest.raises(BackupError, match="is not empty"):
        FolderTarget(spool.root)
    with pytest.raises(BackupError, match="neither empty nor a folder of backups"):
        make([SpoolSource(spool)], Archive(spool.root), "0", 0, time.time)
    with pytest.raises(BackupError, match="holds no backups"):
        Archive(tmp_path / "elsewhere").manifest()


@pytest.mark.parametrize("path", ["/etc/passwd", "../passwd", "spool/../../passwd", "."])
def test_nothing_is_written_outside_of_the_folder(tmp_path: Path, path: str) -> None:
    with pytest.raises(BackupError, match="is no path of a backup"):
        FolderTarget(tmp_path / "elsewhere").put(path, 0o600, 0, BytesIO())


def test_users_settings_models_and_the_audit_trail_come_along(tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    audit = tmp_path / "audit" / "trail.xml"
    written = {"trail.xml": "<now/>\n", "trail-20260101T000000.000000Z.xml": "<then/>\n"}
    for name, text in written.items():
        (audit.parent / name).write_text(text)
    (tmp_path / "models" / "adult").mkdir(parents=True)
    (tmp_path / "models" / "adult" / "card.json").write_text("{}")
    (tmp_path / "users.json").write_text("[]")
    sources = [
        FileSource(tmp_path / "users.json", "users.json"),
        FileSource(tmp_path / "none.toml", "triage.toml"),
        FolderSource(tmp_path / "models", "models"),
        AuditTrailSource(audit, "audit"),
    ]
    archive = Archive(tmp_path / "backups")
    make(sources, archive, "0", 0, time.time)
    restore(archive, "", FolderTarget(tmp_path / "elsewhere"))
    assert contents(tmp_path / "elsewhere") == {
        "users.json": b"[]",
        "models/adult/card.json": b"{}",
        "audit/audit.xml": b"<now/>\n",
        "audit/audit-20260101T000000.000000Z.xml": b"<then/>\n",
    }
