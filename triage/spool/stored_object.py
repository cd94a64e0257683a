"""One received object of a store, wherever its bytes are."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

from triage.dicom.byte_source import Openable


class StoredObject(Openable, Protocol):
    """A received object at the place where the store had it when it was asked. Equal ones are the same bytes.

    It can be sent to a child process, which opens it by itself. ``str()`` says where it lies, for people. Every method
    raises FileNotFoundError if the object has moved meanwhile: ask the store again; and OSError.
    """

    def size(self) -> int:
        """Return the number of bytes, with the File Meta Information."""

    def received_at(self) -> float:
        """Return when it was received, in POSIX seconds."""

    def received_by_store(self) -> float | None:
        """Return ``received_at`` if it is by one clock for all hosts; None where the receipt in the object says it.

        Never raises: None for an object that the store did not have.
        """

    def lasting_path(self) -> str:
        """Return a path on this machine that holds the bytes for as long as the study is kept: for manifests.

        Raises OSError where the store keeps its objects elsewhere.
        """


class Upload(Protocol):
    """An object that is being received, and that no reader sees: ``keep`` it or ``set_aside``, then ``discard``."""

    def write(self, data: memoryview) -> None:
        """Append bytes. Raises OSError."""

    def reader(self) -> AbstractContextManager[BinaryIO]:
        """Open what was written so far for reading, from its start. Raises OSError."""

    def discard(self) -> None:
        """Release it, and remove what the store did not take over. Never raises; does nothing the second time."""
