"""Files with the same bytes, whatever their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from triage.runtime.same_bytes import same_bytes


def test_the_same_bytes_are_found_and_nothing_else(tmp_path: Path):
    large = np.random.default_rng(1).bytes(300_000)
    middle = large[:150_000] + bytes([large[150_000] ^ 1]) + large[150_001:]
    contents = [b"", b"a", large, b"b", b"a", middle, large, b"a", large[:-1], b"c" * 70_000, b"c" * 70_000]
    files = []
    for number, content in enumerate(contents):
        files.append(tmp_path / f"{number}")
        files[-1].write_bytes(content)
    assert same_bytes(files) == [[1, 4, 7], [2, 6], [9, 10]]
    with pytest.raises(FileNotFoundError):
        same_bytes([*files, tmp_path / "none"])
