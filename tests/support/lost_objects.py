"""A spool whose objects cannot be had, as those in a bucket that does not answer."""

from __future__ import annotations

import errno
from typing import Any, BinaryIO

from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool


class _Unread:
    """A stored object whose bytes cannot be had."""

    def __init__(self, stored: Any, of_pixels: bool) -> None:
        self._stored, self._of_pixels = stored, of_pixels

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # it is looked for before a copy in a decode process has its object
            raise AttributeError(name)
        return getattr(self._stored, name)

    def open(self, mode: str = "rb") -> BinaryIO:
        if self._of_pixels:
            opened: BinaryIO = self._stored.open("rb")
            return opened
        raise OSError(errno.ETIMEDOUT, "the bucket does not answer")

    def read_bytes(self) -> bytes:
        raise OSError(errno.ETIMEDOUT, "the bucket does not answer")


class LostSpool(Spool):
    """Facts are there. Objects are not while ``lost``, or those of ``lost_studies``, or the images ``lost_images``.

    ``away``: none of all is there. ``of_pixels``: the headers of those that are not can be read.
    """

    lost = away = of_pixels = False
    lost_studies: frozenset[str] = frozenset()
    lost_images: frozenset[str] = frozenset()

    def stored_object(self, instance: ReceivedInstance) -> Any:
        stored = super().stored_object(instance)
        lost = instance.study_instance_uid in self.lost_studies or instance.sop_instance_uid in self.lost_images
        return _Unread(stored, self.of_pixels) if self.lost or lost else stored

    def gives_objects(self) -> bool:
        return not self.away
