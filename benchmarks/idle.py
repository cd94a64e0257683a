"""CPU and memory of all processes of an idle `triage up`. Usage: idle.py [--seconds N]

Memory is the proportional set size (PSS): pages that processes share are counted once. The supervisor and the embedded
Redis are counted too. Nothing is sent; the health ports are left alone while it is measured.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict

import psutil
from service import Service, load, table

SETTLE_S = 15.0
CPU_BAR = 0.03  # of one core
MEMORY_BAR = 1.2e9


def family(pid: int) -> list[psutil.Process]:
    """Return the process and all its descendants."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def role(process: psutil.Process) -> str:
    """Return the role of a process, by its command line."""
    words = process.cmdline()
    if "triage.cli" in words:
        return next((word for word in words[words.index("triage.cli") + 1 :] if not word.startswith("-")), "triage")
    return "redis" if "redis" in process.name() else f"child of {role_of_parent(process)}"


def role_of_parent(process: psutil.Process) -> str:
    """Return the role of the process's parent."""
    parent = process.parent()
    return role(parent) if parent else "no process"


def cpu_seconds(process: psutil.Process) -> float:
    """Return the user and system time of the process, in seconds."""
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    seconds = parser.parse_args().seconds
    with Service() as service:
        assert service.process is not None
        time.sleep(SETTLE_S)  # the work that follows a start
        processes = family(service.process.pid)
        before = {process.pid: cpu_seconds(process) for process in processes}
        started = time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - started
        cores: dict[str, float] = defaultdict(float)
        memory: dict[str, float] = defaultdict(float)
        count: dict[str, int] = defaultdict(int)
        for process in processes:
            name = role(process)
            cores[name] += (cpu_seconds(process) - before[process.pid]) / took
            memory[name] += process.memory_full_info().pss
            count[name] += 1
        if {process.pid for process in family(service.process.pid)} != set(before):
            raise SystemExit("a process ended or was started meanwhile: this was not idle")
    rows = [(f"{name} x{count[name]}", f"{cores[name]:.2%}", f"{memory[name] / 1e6:.0f} MB") for name in cores]
    rows.append(("all", f"{sum(cores.values()):.2%}", f"{sum(memory.values()) / 1e6:.0f} MB"))
    rows.append(("the bar", f"{CPU_BAR:.2%}", f"{MEMORY_BAR / 1e6:.0f} MB"))
    rows.append(
        ("ratio to the bar", f"{sum(cores.values()) / CPU_BAR:.2f}", f"{sum(memory.values()) / MEMORY_BAR:.2f}")
    )
    print(f"idle for {took:.0f} s{load()}")
    print(table(("processes", "of one core", "PSS"), rows))


if __name__ == "__main__":
    main()
