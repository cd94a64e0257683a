"""Objects whose header is altered in the bucket for a time: one digit of the Patient ID, so that it is another's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from typing import Protocol

_PATIENT_ID = b"\x10\x00\x20\x00LO"
"""(0010,0020) as it is written in Explicit VR Little Endian, before the length of two bytes."""
_PAUSE_S = 0.3
AT_LEAST_S = 20.0
"""Seconds for which headers are altered and more: the report of an object is built some seconds after its tag."""
_FIRST = 20
"""Objects that came before, the newest ones: some are reported on meanwhile."""

Row = tuple[str, str]
"""A study and the key of an object of it."""


class Bucket(Protocol):
    """The store's bucket, past everything that is before it."""

    def read(self, key: str) -> bytes: ...

    def put(self, key: str, content: BytesIO, size: int, sha256: bytes) -> None: ...


def of_another(file: bytes) -> bytes:
    """Return an object's bytes with another last digit of its Patient ID, and nothing else changed."""
    at = file.index(_PATIENT_ID) + len(_PATIENT_ID)
    begin = at + 2
    value = file[begin : begin + int.from_bytes(file[at:begin], "little")].rstrip()
    digit = str((int(value[-1:]) + 1) % 10).encode()
    last = begin + len(value) - 1
    return file[:last] + digit + file[last + 1 :]


@dataclass
class Alteration:
    """What was altered. ``rows``: the newest objects of the store, so many; ``bucket`` keeps no digest of our own."""

    bucket: Bucket
    rows: Callable[[int], Iterable[Row]]
    originals: dict[str, bytes] = field(default_factory=dict)
    studies: set[str] = field(default_factory=set)

    def more(self) -> None:
        """Alter the newest objects that are not altered yet."""
        for study, key in self.rows(_FIRST):
            if key not in self.originals:
                self.originals[key] = self.bucket.read(key)
                self._put(key, of_another(self.originals[key]))
                self.studies.add(study)

    def restore(self) -> None:
        """Give the objects that the store still has the bytes that were received."""
        there = {key for _, key in self.rows(len(self.originals) + 10 * _FIRST)}
        for key in there & self.originals.keys():
            self._put(key, self.originals[key])

    def _put(self, key: str, content: bytes) -> None:
        self.bucket.put(key, BytesIO(content), len(content), sha256(content).digest())


def alter_for(
    seconds: float, alteration: Alteration, bring: Callable[[], object], look: Callable[[set[str]], None]
) -> None:
    """Alter each object that comes for some seconds, and look at what is shown of their studies meanwhile.

    ``bring`` has one more object come: so that there are some, whatever else is sent.
    """
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            bring()
            alteration.more()
            look(alteration.studies)
            time.sleep(_PAUSE_S)
    finally:
        alteration.restore()


def of_other_patients(shown: Mapping[str, str], patients: Mapping[str, str], studies: set[str]) -> list[str]:
    """Return the studies that are shown with a Patient ID that is not theirs. None at all may be shown for a time."""
    return sorted(each for each in studies & shown.keys() if shown[each] not in ("", patients[each]))
