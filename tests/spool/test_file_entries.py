"""Entries of the store as files, after a crash and next to files of another program."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from triage.spool.spool import Spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool.open(tmp_path / "spool")


def test_a_record_that_a_crash_cut_is_none_and_spoils_no_other(spool: Spool):
    with spool.study_lock("1.2.3"):
        log = spool.study_entries("1.2.3")
        log.append("acts.jsonl", {"n": 1})
        with (spool.study_folder("1.2.3") / "acts.jsonl").open("a") as file:
            file.write('\n{"n": 2, "wh')
        assert log.records("acts.jsonl") == [{"n": 1}]
        log.append("acts.jsonl", {"n": 3})
    assert log.records("acts.jsonl") == [{"n": 1}, {"n": 3}]


def test_a_line_of_another_program_is_an_error(spool: Spool):
    with spool.study_lock("1.2.3"):
        (spool.study_folder("1.2.3") / "acts.jsonl").write_text("\nno record}")
    with pytest.raises(ValueError, match="Expecting value"):
        spool.study_entries("1.2.3").records("acts.jsonl")
    with (spool.study_folder("1.2.3") / "acts.jsonl").open("ab") as file:
        file.write(b'\n{"n": 1}\n\xff}\n[{}]\n5}\n{"n": 2}')
    assert spool.study_entries("1.2.3").readable("acts.jsonl") == [{"n": 1}, {"n": 2}]


def test_an_entry_that_goes_while_times_are_read_has_none(spool: Spool, monkeypatch: pytest.MonkeyPatch):
    entries = spool.entries("place")
    entries.prepare()
    entries.put("a", "")
    entries.put("gone", "")
    scanned = entries._scanned

    def and_one_goes() -> list[os.DirEntry[str]]:
        found = scanned()
        entries.remove("gone")
        return found

    monkeypatch.setattr(entries, "_scanned", and_one_goes)
    (gone, (at, name)) = entries.by_time()
    assert gone == (0.0, "gone") and name == "a" and at


def test_a_file_in_place_of_a_folder_holds_no_entry(spool: Spool):
    (spool.root / "place").write_text("")
    assert spool.entries("place").names() == []


def test_folders_and_files_are_for_their_owner_alone(spool: Spool):
    entries = spool.entries("place")
    entries.prepare()
    entries.put("a", "")
    assert (spool.root / "place").stat().st_mode & 0o777 == 0o700
    assert (spool.root / "place" / "a").stat().st_mode & 0o777 == 0o600


def test_an_upload_of_another_store_is_refused(spool: Spool):
    with pytest.raises(TypeError, match="another store"):
        spool.set_aside(object(), "why")  # type: ignore[arg-type]
