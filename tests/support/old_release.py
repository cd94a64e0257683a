"""What an earlier release left when it was killed: unpacked, and moved in time so that nothing in it is out of date."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.model_folders import write_model
from tests.support.redis_server import RedisServer
from tests.support.unpacking import unpack
from triage.delivery.outbox import Outbox
from triage.spool.spool import Spool

ARCHIVE = Path(__file__).parents[1] / "service" / "old_release" / "039944b.tar.xz"
"""See the README.md beside it."""

APPEND_ONLY = "appendonly.aof"


@dataclass(frozen=True)
class OldInstallation:
    """An unpacked one. ``about`` is its contents.json; ``studies`` are UIDs by name, accession numbers the names."""

    folder: Path
    about: dict[str, Any]

    @property
    def studies(self) -> dict[str, str]:
        return dict(self.about["studies"])

    @property
    def spool(self) -> Spool:
        return Spool(self.folder / "spool")

    @property
    def outbox(self) -> Outbox:
        return Outbox(self.spool)

    @property
    def users_file(self) -> Path:
        return self.folder / "users.json"

    @property
    def audit(self) -> Path:
        return self.folder / "audit" / "audit.xml"

    def uids(self, *names: str) -> set[str]:
        return {self.studies[name] for name in names}

    def waiting(self, destination: str) -> list[bytes]:
        """What waits for a destination, as bytes to send."""
        return [self.outbox.payload(item) for item in self.outbox.waiting(destination)]

    def give_redis_to(self, server: RedisServer) -> None:
        """Let a server that is not started yet have what the old one had."""
        shutil.copy(self.folder / "redis" / APPEND_ONLY, server.folder)


def unpacked(folder: Path) -> OldInstallation:
    """The installation in ``folder``, as if its release had been killed just now."""
    unpack(ARCHIVE, folder, rule="tar")  # modes as they were: a spool that others can read is refused
    old = OldInstallation(folder, json.loads((folder / "contents.json").read_bytes()))
    later_s = time.time() - old.about["made_at"]
    for path in sorted((folder / "spool" / "reports").iterdir()):
        _remembered_later(path, later_s)
    append_only = folder / "redis" / APPEND_ONLY
    append_only.write_bytes(b"".join(_expiring_later(append_only.read_bytes(), round(later_s * 1000))))
    return old


def write_models(folder: Path) -> None:
    """The models that it had: adults are normal, small children abnormal."""
    write_model(folder, "tiny-adult", bias=-10)
    write_model(folder, "tiny-child", age_from=1, age_below=6, bias=10)
    write_model(folder, "tiny-youth", age_from=6, age_below=18, bias=-10)


def _remembered_later(path: Path, later_s: float) -> None:
    """A report that came early is forgotten after a time."""
    came = re.compile(r'(?<="heard_at": )[0-9.]+')
    path.write_text(came.sub(lambda at: repr(float(at[0]) + later_s), path.read_text()))
    at, _, rest = path.name.partition("-")
    path.rename(path.with_name(f"{int(at) + round(later_s * 1e6):016d}-{rest}"))


def _expiring_later(content: bytes, later_ms: int) -> Iterator[bytes]:
    """An append-only file whose keys expire later: a job that was queued is kept for some days only."""
    for command in _commands(content):
        if command[0].upper() == b"PEXPIREAT":
            command[2] = str(int(command[2]) + later_ms).encode()
        yield b"*%d\r\n" % len(command) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in command)


def _commands(content: bytes) -> Iterator[list[bytes]]:
    """The commands of a file: each an array of bulk strings."""
    at = 0

    def number(kind: bytes) -> int:
        nonlocal at
        end = content.index(b"\r\n", at)
        assert content[at : at + 1] == kind, f"no append-only file of plain commands, at byte {at}"
        value = int(content[at + 1 : end])
        at = end + 2
        return value

    while at < len(content):
        command = []
        for _ in range(number(b"*")):
            length = number(b"$")
            command.append(content[at : at + length])
            at += length + 2
        yield command
