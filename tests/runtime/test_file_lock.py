"""Locks between processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from triage.errors import StartError
from triage.runtime.file_lock import file_lock, is_held, single_instance


def test_a_second_instance_is_refused_in_the_words_of_the_caller(tmp_path: Path) -> None:
    path = tmp_path / "made" / ".lock"
    refusal = StartError("it runs already: end that first")
    with single_instance(path, refusal):
        assert is_held(path)
        with pytest.raises(StartError, match="runs already"), single_instance(path, refusal):
            pass
    assert not is_held(path)
    with single_instance(path, refusal), pytest.raises(BlockingIOError), file_lock(path, blocking=False):
        pass


def test_an_error_of_the_work_is_not_taken_for_a_second_instance(tmp_path: Path) -> None:
    with pytest.raises(BlockingIOError), single_instance(tmp_path / ".lock", StartError("another one")):
        raise BlockingIOError
