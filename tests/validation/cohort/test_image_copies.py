"""Images of a manifest lie in files, also where the store has none."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tests.support.builders import an_instance
from triage.spool.spool import Spool
from triage.validation.cohort.image_copies import copies_folder, lasting_image

A = an_instance(study="1.2.3", sop="1.2.3.4")


class Elsewhere:
    """An object of a bucket, as far as it is asked for here."""

    def __init__(self, number: int = errno.ENOTSUP) -> None:
        self.number = number

    def lasting_path(self) -> str:
        raise OSError(self.number, "the store keeps its objects elsewhere")

    def read_bytes(self) -> bytes:
        return b"content"


def test_a_file_of_the_spool_is_named_and_not_copied(spool: Spool, tmp_path: Path) -> None:
    stored = spool.waiting_object(A)
    assert lasting_image(stored, A, tmp_path / "out.csv") == spool.inbox_path(A)
    assert not copies_folder(tmp_path / "out.csv").exists()


def test_what_is_elsewhere_is_copied_for_its_owner_alone(tmp_path: Path) -> None:
    image = lasting_image(Elsewhere(), A, tmp_path / "out.csv")  # type: ignore[arg-type]
    assert image.parent == tmp_path / "out.csv.images" and image.read_bytes() == b"content"
    assert image.stat().st_mode & 0o077 == 0 and image.parent.stat().st_mode & 0o077 == 0


def test_another_error_is_none_of_the_kind(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="elsewhere"):
        lasting_image(Elsewhere(errno.EIO), A, tmp_path / "out.csv")  # type: ignore[arg-type]
    assert not copies_folder(tmp_path / "out.csv").exists()
