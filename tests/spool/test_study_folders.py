"""Which parents of study folders are read again."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from triage.spool.study_folders import StudyFolders

LONG_AGO = 1_000_000_000


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    for name in ("00/1.2.1", "00/1.2.2", "a7/1.2.3", "a7/no-uid"):
        (tmp_path / name).mkdir(parents=True)
    age(tmp_path)
    return tmp_path


def age(studies: Path) -> None:
    for parent in studies.iterdir():
        os.utime(parent, (LONG_AGO, LONG_AGO))


def seen(folders: StudyFolders) -> dict[str, list[str]]:
    return {parent: sorted(uids) for parent, uids in folders.changed().items()}


def test_all_are_read_first_and_what_did_not_change_not_again(studies: Path) -> None:
    folders = StudyFolders(studies)
    assert seen(folders) == {"00": ["1.2.1", "1.2.2"], "a7": ["1.2.3"]}
    (studies / "a7/1.2.3/decision.json").write_text("{}")
    assert seen(folders) == {}
    folders.forget()
    assert len(seen(folders)) == 2


def test_a_parent_to_which_a_study_came_or_from_which_one_went_is_read(studies: Path) -> None:
    folders = StudyFolders(studies)
    seen(folders)
    (studies / "a7/1.2.4").mkdir()
    (studies / "00/1.2.1").rmdir()
    (studies / "ff/1.2.5").mkdir(parents=True)
    assert seen(folders) == {"00": ["1.2.2"], "a7": ["1.2.3", "1.2.4"], "ff": ["1.2.5"]}


def test_a_parent_that_is_gone_has_no_study(studies: Path) -> None:
    folders = StudyFolders(studies)
    seen(folders)
    (studies / "a7").rename(studies.parent / "elsewhere")
    assert seen(folders) == {"a7": []}
    assert seen(folders) == {}


def test_one_that_changed_a_moment_ago_is_read_again_as_a_further_change_may_bear_the_same_time(studies: Path) -> None:
    now = time.time_ns()
    os.utime(studies / "00", ns=(now, now))
    folders = StudyFolders(studies, lambda: now + 1_000_000)
    assert seen(folders).keys() == {"00", "a7"}
    (studies / "00/1.2.9").mkdir()
    os.utime(studies / "00", ns=(now, now))
    assert seen(folders) == {"00": ["1.2.1", "1.2.2", "1.2.9"]}
