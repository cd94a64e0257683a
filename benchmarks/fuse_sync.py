"""System calls that a FUSE mount passes to the file system behind it: counted with strace on bindfs, as root.

    python benchmarks/fuse_sync.py

Each row is an operation on the mount, and the system calls that bindfs made behind it meanwhile. The last rows are
ours: an object made durable before it is acknowledged, and the files that a batch writes of it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.spool.test_unbelieved_disks import a_batch
from triage.runtime.storage import file_system_of, sync_file_system
from triage.spool.spool import Spool

_CALLS = re.compile(r" (fsync|fdatasync|syncfs|sync|rename|renameat2)\(")
_CALM_S = 0.5


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        behind, mount, trace = (Path(folder) / name for name in ("behind", "mount", "trace"))
        behind.mkdir()
        mount.mkdir()
        watched = ["strace", "-f", "-e", "trace=fsync,fdatasync,syncfs,sync,rename,renameat2", "-o", trace]
        process = subprocess.Popen([*watched, "bindfs", "-f", behind, mount])
        try:
            _wait_for(lambda: mount.stat().st_dev != behind.stat().st_dev)
            _measure(mount, trace)
        finally:
            subprocess.run(["umount", mount], check=False)
            process.wait()
    return 0


def _measure(mount: Path, trace: Path) -> None:
    print(f"{mount} is {file_system_of(mount)}")
    file, folder = mount / "file", mount
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, b"x" * 100_000)
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    spool = Spool.open(mount / "spool")
    rows: dict[str, Callable[[], object]] = {
        "syncfs": lambda: sync_file_system(folder),
        "fsync of the file": lambda: os.fsync(descriptor),
        "rename": lambda: file.rename(mount / "renamed"),
        "fsync of the folder": lambda: os.fsync(root),
        "fsync of the renamed file": lambda: os.fsync(descriptor),
        "a received object, its assessment, decision, history and mark": lambda: a_batch(spool),
    }
    for name, do in rows.items():
        print(f"{name:64} {_came_through(trace, do)}")
    for each in (descriptor, root):
        os.close(each)


def _came_through(trace: Path, do: Callable[[], object]) -> str:
    time.sleep(_CALM_S)
    before = len(trace.read_text())
    do()
    time.sleep(_CALM_S)
    found = Counter(_CALLS.findall(trace.read_text()[before:]))
    return ", ".join(f"{count} {name}" for name, count in sorted(found.items())) or "nothing"


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("bindfs has not mounted")
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
