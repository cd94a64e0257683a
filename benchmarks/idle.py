"""CPU, wake-ups and memory of all processes of an idle `triage up`. Usage: idle.py [--seconds N] [--turns N]

Memory is the proportional set size (PSS): pages that processes share are counted once. Those that other programs share
too, as of libraries in the same environment, are counted in part: measure where no other uses it. The supervisor and
the embedded Redis are counted too. Nothing is sent; the health ports are left alone while it is measured. A wake-up is
a voluntary context switch of a thread. Each turn is a start of its own; the time from the start to ready is printed
next to that of a Python process that imports ONNX Runtime, OpenCV and pydicom, measured in turn.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil
from figures import lower, report
from service import Service, load, table

SETTLE_S = 15.0  # the work that follows a start
CPU_BAR = 0.005  # of one core
MEMORY_BAR_MB = 350.0
START_BAR_S = 4.0
_CPUCLOCK_SCHED = 2  # of Linux: the nanoseconds of all threads
_IMPORTS = "import triage.model.onnx_runtime, cv2, pydicom"


@dataclass
class Used:
    """What the processes of one role use: their number, share of a core, wake-ups a second, and PSS in bytes."""

    count: int = 0
    cores: float = 0.0
    wake_ups: float = 0.0
    pss: int = 0

    def add(self, other: Used) -> None:
        """Add what others use."""
        self.count += other.count
        self.cores += other.cores
        self.wake_ups += other.wake_ups
        self.pss += other.pss


@dataclass(frozen=True)
class Turn:
    """One start: seconds until it was ready, seconds of the imports, and what each role used."""

    start_s: float
    imports_s: float
    roles: dict[str, Used] = field(default_factory=lambda: defaultdict(Used))

    @property
    def whole(self) -> Used:
        """The sum over all processes."""
        whole = Used()
        for each in self.roles.values():
            whole.add(each)
        return whole


def family(pid: int) -> list[psutil.Process]:
    """Return the process and all its descendants."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def role(process: psutil.Process) -> str:
    """Return the role of a process, by its command line."""
    words = [word for word in process.cmdline() if word]  # a shorter one is filled up
    if words[:1] == ["triage"]:
        return words[1]
    if "triage.cli" in words:
        return next((word for word in words[words.index("triage.cli") + 1 :] if not word.startswith("-")), "triage")
    if "redis" in process.name():
        return "redis"
    parent = process.parent()
    return f"child of {role(parent)}" if parent else "child of no process"


def taken(process: psutil.Process) -> tuple[float, int]:
    """Return the CPU seconds of a process, ended threads too, and how often its threads gave up the processor.

    Raises psutil.NoSuchProcess for one that has ended.
    """
    try:
        seconds = time.clock_gettime(_processor_clock(process.pid))
        threads = list(Path(f"/proc/{process.pid}/task").iterdir())
    except OSError as error:
        raise psutil.NoSuchProcess(process.pid) from error
    return seconds, sum(map(_switches, threads))


def _processor_clock(pid: int) -> int:
    """Return the clock of a process's processor time, as clock_getcpuclockid of the C library makes it."""
    return (~pid << 3) | _CPUCLOCK_SCHED


def _switches(thread: Path) -> int:
    """Return how often a thread gave up the processor; 0 for one that has ended since it was listed."""
    try:
        status = (thread / "status").read_text()
    except OSError:
        return 0
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def spent(pid: int) -> dict[str, float]:
    """Return the processor seconds of a service's processes so far, by their role; those that ended are left out."""
    found: dict[str, float] = defaultdict(float)
    for process in family(pid):
        try:
            found[role(process)] += taken(process)[0]
        except psutil.NoSuchProcess:
            continue
    return dict(found)


def turn(seconds: float) -> Turn:
    """Start the service, and measure it while nothing happens."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", _IMPORTS], check=True)
    imports_s = time.monotonic() - began
    began = time.monotonic()
    with Service() as service:
        result = Turn(time.monotonic() - began, imports_s)
        assert service.process is not None
        time.sleep(SETTLE_S)
        processes = family(service.process.pid)
        before = {process.pid: taken(process) for process in processes}
        began = time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - began
        if {process.pid for process in family(service.process.pid)} != set(before):
            raise SystemExit("a process ended or was started meanwhile: this was not idle")
        for process in processes:
            (cpu, switches), (cpu_before, before_switches) = taken(process), before[process.pid]
            each = Used(1, (cpu - cpu_before) / took, (switches - before_switches) / took)
            each.pss = process.memory_full_info().pss
            result.roles[role(process)].add(each)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each turn")
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    turns = [turn(arguments.seconds) for _ in range(arguments.turns)]
    last = turns[-1]
    rows = [_row(f"{name} x{each.count}", each) for name, each in last.roles.items()]
    rows += [_row("all", last.whole), ("the bar", f"{CPU_BAR:.2%}", "", f"{MEMORY_BAR_MB:.0f} MB")]
    print(f"idle, the last of {len(turns)} turns of {arguments.seconds:.0f} s{load()}")
    print(table(("processes", "of one core", "wake-ups/s", "PSS"), rows))
    starts, imports = [each.start_s for each in turns], [each.imports_s for each in turns]
    print(
        f"start to ready: {median(starts):.1f} s ({min(starts):.1f} to {max(starts):.1f}; bar {START_BAR_S:.0f} s); "
        f"the bare imports: {median(imports):.1f} s"
    )
    report(
        lower("idle.percent_of_a_core", [100 * each.whole.cores for each in turns], "%", 100 * CPU_BAR),
        lower("idle.wake_ups_per_second", [each.whole.wake_ups for each in turns], "1/s"),
        lower("idle.memory", [each.whole.pss / 1e6 for each in turns], "MB", MEMORY_BAR_MB),
        lower("idle.start_of_bare_imports", [each.start_s / each.imports_s for each in turns]),
    )


def _row(name: str, used: Used) -> tuple[str, ...]:
    return name, f"{used.cores:.2%}", f"{used.wake_ups:.1f}", f"{used.pss / 1e6:.0f} MB"


if __name__ == "__main__":
    main()
