"""Files of the training commands name patients: only their owner can read them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cohort_trees import report
from training.__main__ import main


@pytest.fixture
def everybody_s_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("everybody_s_umask")
def test_a_command_writes_what_only_its_owner_can_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "1.xml").write_text(report(1, ["normal"], "The lungs are clear."))
    out = tmp_path / "new" / "labels.csv"
    monkeypatch.setattr("sys.argv", ["training", "label-reports", str(tmp_path / "reports"), "--out", str(out)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert [each.stat().st_mode & 0o077 for each in (out, out.parent)] == [0, 0]
