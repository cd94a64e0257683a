"""Files of secrets: one rule for all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from triage.settings.errors import SecretFileError
from triage.settings.secret_file import LARGEST_BYTES, read_secret


@pytest.mark.parametrize("content", [b"a /@:%#?", b"a /@:%#?\n", b"a /@:%#?\r\n"])
def test_the_only_line_is_the_secret(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    assert read_secret(file) == "a /@:%#?"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"hunter2\nhunter3\n", "more than one line"),
        (b"hunter\xff", "is not UTF-8"),
        (b"hunter" * LARGEST_BYTES, "is too long"),
    ],
)
def test_any_other_content_is_refused_and_not_quoted(content: bytes | None, why: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SecretFileError, match=why) as refused:
        read_secret(file)
    assert str(file) in str(refused.value) and "hunter" not in str(refused.value)
