"""Run every benchmark, each in a process of its own. Usage: python benchmarks [NAME ...]"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NAMES = ("intake", "latency", "backlog", "idle", "page", "validate")


def main() -> int:
    names = sys.argv[1:] or NAMES
    failed = []
    for name in names:
        print(f"\n== {name}", flush=True)
        if subprocess.run([sys.executable, str(Path(__file__).parent / f"{name}.py")], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
