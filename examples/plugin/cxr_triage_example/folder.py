"""A channel: the result of each study as a JSON file in a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pydantic import Field

from triage.channels.base import Built, DeliveryStatus, Send, SendResult, result
from triage.channels.kind import ChannelKind, Surroundings
from triage.channels.settings import Destination
from triage.errors import UnreachableError
from triage.spool.study import Study


class FolderDestination(Destination):
    """Settings of one destination, in addition to those that all have."""

    path: Path = Field(description="The folder; absolute.")


@dataclass(frozen=True)
class FolderChannel:
    """Writes into ``path``. Equal messages have equal names: one that is sent twice is there once."""

    path: Path

    @property
    def encoder(self) -> str:
        """Kind and version of the encoder, and the settings that its messages depend on."""
        return "folder 1"

    def wants(self, study: Study) -> bool:
        """Return whether this destination gets a message about the study."""
        return not study.shadow_only

    def content(self, study: Study) -> list[object]:
        """Return what the receiver learns."""
        return result(study)

    def build(self, study: Study) -> Built:
        """Build the message of a revision."""
        decision = study.decision
        content = {"id": study.revision, "study": decision.study_instance_uid, "tag": decision.tag}
        return Built(json.dumps(content).encode(), {"id": study.revision})

    @contextmanager
    def connect(self) -> Iterator[Send]:
        """Check that the folder is there. Raises UnreachableError."""
        if not self.path.is_dir():
            raise UnreachableError(f"there is no folder {self.path}")
        yield self._write

    def reach(self) -> list[str]:
        """Return what is wrong. Raises UnreachableError."""
        with self.connect():
            return []

    def check(self) -> list[str]:
        """Return what was tried, line by line. Raises UnreachableError."""
        with self.connect():
            return [f"{self.path} is a folder."]

    def _write(self, payload: bytes) -> SendResult:
        target = self.path / f"{sha256(payload).hexdigest()[:32]}.json"
        partial = target.with_suffix(".part")
        partial.write_bytes(payload)
        partial.replace(target)
        return SendResult(DeliveryStatus.DELIVERED, f"written as {target.name}")


def _make(destination: FolderDestination, surroundings: Surroundings) -> FolderChannel:
    return FolderChannel(destination.path)


KIND = ChannelKind("folder", "A JSON file for each result.", FolderDestination, _make)
