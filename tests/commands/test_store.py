"""`triage store migrate`, from a spool to another; the move itself is tested in tests/spool/test_moving.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.support.builders import an_instance
from triage.cli import triage
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool

A = an_instance(study="1.2.3", sop="1.2.3.4")


def receive(spool: Spool, instance: ReceivedInstance) -> None:
    upload = spool.begin_upload()
    upload.write(memoryview(b"content"))
    spool.keep(upload, instance)
    upload.discard()


@pytest.fixture
def old(tmp_path: Path) -> Spool:
    spool = Spool.open(tmp_path / "old")
    spool.installation_uid()
    receive(spool, A)
    return spool


def migrate(folder: Path, *words: str) -> Result:
    (folder / "triage.toml").write_text('[data]\npath = "new"\n')
    return CliRunner().invoke(triage, ["--config", str(folder / "triage.toml"), "store", "migrate", *words])


def test_a_spool_is_copied_while_it_works_and_compared_when_it_rests(old: Spool, tmp_path: Path) -> None:
    with old.workers.hold("worker-1"):
        first = migrate(tmp_path, "--from", str(old.root))
        assert first.exit_code == 0, first.output
        assert "stop every process" in first.output
        refused = migrate(tmp_path, "--from", str(old.root), "--finish")
        assert refused.exit_code == 1 and "stop all of them first" in refused.output
    later = an_instance(study="1.2.4", sop="1.2.4.4")
    receive(old, later)
    last = migrate(tmp_path, "--from", str(old.root), "--finish")
    assert last.exit_code == 0, last.output
    assert "with the same bytes" in last.output
    for words in ((), ("--finish",)):
        refused = migrate(tmp_path, "--from", str(old.root), *words)
        assert refused.exit_code == 1 and "a move that ended with --finish" in refused.output
    assert set(Spool(tmp_path / "new/spool").waiting()) == {A, later}


def test_a_running_up_is_refused(old: Spool, tmp_path: Path) -> None:
    with old.workers.hold_alone("up", RuntimeError()):
        refused = migrate(tmp_path, "--from", str(old.root), "--finish")
    assert refused.exit_code == 1 and "`triage up` runs on" in refused.output


def test_a_difference_keeps_the_spool_the_store(old: Spool, tmp_path: Path) -> None:
    migrate(tmp_path, "--from", str(old.root))
    new = Spool(tmp_path / "new/spool")
    new.inbox_path(A).write_bytes(b"damaged")
    ended = migrate(tmp_path, "--from", str(old.root), "--finish")
    assert ended.exit_code == 1
    assert f"object {A.key}: other bytes" in ended.output and "goes on to be the store" in ended.output


def test_a_target_at_work_is_refused(old: Spool, tmp_path: Path) -> None:
    with Spool.open(tmp_path / "new/spool").workers.hold("worker-1"):
        refused = migrate(tmp_path, "--from", str(old.root))
    assert refused.exit_code == 1 and "stop all of them first" in refused.output


def test_a_store_is_not_moved_into_itself(old: Spool, tmp_path: Path) -> None:
    refused = migrate(tmp_path)
    assert refused.exit_code == 78 and "is the store of the settings" in refused.output


def test_a_folder_that_is_no_spool_is_told(tmp_path: Path) -> None:
    refused = migrate(tmp_path, "--from", str(tmp_path / "nothing"))
    assert refused.exit_code == 78 and "is no spool that can be read" in refused.output


def test_the_store_of_another_settings_file_is_moved(old: Spool, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(f'[spool]\npath = "{old.root}"\n')
    last = migrate(tmp_path, "--from-settings", str(other), "--finish")
    assert last.exit_code == 0, last.output
    assert set(Spool(tmp_path / "new/spool").waiting()) == {A}


def test_two_settings_files_of_one_store_are_refused(old: Spool, tmp_path: Path) -> None:
    refused = migrate(tmp_path, "--from-settings", str(tmp_path / "triage.toml"))
    assert refused.exit_code == 78 and "name one store" in refused.output
    refused = migrate(tmp_path, "--from-settings", str(tmp_path / "triage.toml"), "--from", str(old.root))
    assert refused.exit_code == 2 and "one source each" in refused.output
    (tmp_path / "none.toml").write_text(f'[spool]\npath = "{tmp_path}/none"\n')
    refused = migrate(tmp_path, "--from-settings", str(tmp_path / "none.toml"))
    assert refused.exit_code == 78 and "is not there" in refused.output
