"""Run benchmarks, each in a process of its own. Usage: python benchmarks [NAME ...] [--json FILE] [--compare [FILE]]

``--json`` writes the figures of the run, ``--compare`` prints them next to those of an earlier one (by default the last
committed, docs/results/benchmarks.json) and ends with status 1 if one got worse by more than the noise of the turns.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import figures
from service import table

NAMES = ("intake", "latency", "stat_in_backlog", "backlog", "idle", "page", "growth", "validate")
BY_NAME_ALONE = ("stores",)
"""Those that need servers which a machine for benchmarks need not have: PostgreSQL, and SeaweedFS at BENCH_WEED."""


def run_all(names: list[str], collected: Path) -> list[str]:
    """Run the benchmarks, which add their figures to ``collected``; return the names of those that failed."""
    environment = os.environ | {figures.INTO: str(collected)}
    failed = []
    for name in names:
        print(f"\n== {name}", flush=True)
        script = str(Path(__file__).parent / f"{name}.py")
        if subprocess.run([sys.executable, script], check=False, env=environment).returncode:
            failed.append(name)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ", ".join((*NAMES, *BY_NAME_ALONE))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {known}; without one: all but the last")
    parser.add_argument("--json", type=Path, help="write the figures there; those that are there and not run stay")
    parser.add_argument("--compare", type=Path, nargs="?", const=figures.LAST, help="an earlier run")
    arguments = parser.parse_args()
    last = figures.read(arguments.compare) if arguments.compare else {}
    with tempfile.NamedTemporaryFile(suffix=".json") as collected:
        failed = run_all(arguments.names or list(NAMES), Path(collected.name))
        now = figures.read(Path(collected.name)) if Path(collected.name).stat().st_size else {}
    if arguments.json:
        kept = figures.read(arguments.json) if arguments.json.exists() else {}
        figures.write(arguments.json, kept | now)
    rows = figures.compare(now, last)
    print("\n" + table(("figure", "last", "now", "noise", "", "bar"), rows))
    if failed:
        print(f"failed: {', '.join(failed)}")
    if slower := figures.worse(rows):
        print(f"worse than the noise: {', '.join(slower)}")
    return 1 if failed or slower else 0


if __name__ == "__main__":
    sys.exit(main())
