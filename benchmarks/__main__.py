"""Run benchmarks, each in a process of its own. Usage: python benchmarks [NAME ...] [--json FILE] [--compare [FILE]]

``--quarter`` runs those that need a quiet machine, each as short as its figures allow: within a quarter of an hour.

``--json`` writes the figures of the run, ``--compare`` prints them next to those of an earlier one (by default the last
committed, docs/results/benchmarks.json) and ends with status 1 if one got worse by more than the noise of the turns.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import figures
from service import table

NAMES = (
    "intake",
    "latency",
    "stat_in_backlog",
    "backlog",
    "compressed_backlog",
    "structured_reports",
    "idle",
    "page",
    "growth",
    "validate",
)
QUARTER = {
    "latency": ("--studies", "60"),
    "backlog": ("--studies", "400"),
    "intake": ("--images", "24", "--rounds", "3"),
    "stat_in_backlog": ("--backlog", "600", "--most", "20"),
    "compressed_backlog": ("--studies", "150"),
    "structured_reports": ("--studies", "30"),
    "idle": ("--seconds", "30", "--turns", "2"),
}
"""What others on the machine disturb, with how much of it; the most wanted first. Processor time needs no quiet."""
BY_NAME_ALONE = ("stores",)
"""Those that need servers which a machine for benchmarks need not have: PostgreSQL, and SeaweedFS at BENCH_WEED."""


def run_all(works: Mapping[str, Sequence[str]], collected: Path) -> list[str]:
    """Run benchmarks with their arguments; they add figures to ``collected``. Return the names of those that failed."""
    environment = os.environ | {figures.INTO: str(collected)}
    failed = []
    for name, arguments in works.items():
        print(f"\n== {' '.join((name, *arguments))}", flush=True)
        began = time.monotonic()
        script = str(Path(__file__).parent / f"{name}.py")
        if subprocess.run([sys.executable, script, *arguments], check=False, env=environment).returncode:
            failed.append(name)
        print(f"({name} took {time.monotonic() - began:.0f} s)", flush=True)
    return failed


def chosen(names: Sequence[str], quarter: bool) -> dict[str, Sequence[str]]:
    """Return the benchmarks to run with their arguments: those named, else those of the quarter, else all."""
    short: Mapping[str, Sequence[str]] = QUARTER if quarter else {}
    return {name: short.get(name, ()) for name in names or short or NAMES}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ", ".join((*NAMES, *BY_NAME_ALONE))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {known}; without one: all but the last")
    parser.add_argument("--quarter", action="store_true", help=f"short ones of {', '.join(QUARTER)}")
    parser.add_argument("--json", type=Path, help="write the figures there; those that are there and not run stay")
    parser.add_argument("--compare", type=Path, nargs="?", const=figures.LAST, help="an earlier run")
    arguments = parser.parse_args()
    last = figures.read(arguments.compare) if arguments.compare else {}
    with tempfile.NamedTemporaryFile(suffix=".json") as collected:
        failed = run_all(chosen(arguments.names, arguments.quarter), Path(collected.name))
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
