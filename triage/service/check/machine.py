"""Check the machine: its clock, the disk below the spool, memory, cores and descriptors."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Iterator

from triage.runtime.descriptors import shortage_of_descriptors
from triage.runtime.memory import machine_s_memory, most_memory
from triage.service.check.finding import CheckResult, failed, ok, warning
from triage.settings.schema import Settings
from triage.settings.sections.spool import SpoolSettings
from triage.spool.clock import Clock
from triage.spool.open_store import StoreAddress, store_at
from triage.spool.usage import HighWater

_MIB = 1 << 20
_ALWAYS_MIB = 600
"""listen, deliver, web, sweep, up and Redis, as they were measured (docs/reference/acceptance.md, Soak)."""
_WORKER_MIB, _DECODER_MIB = 130, 95
_NEARLY_FULL = 0.1
_TIME_ERROR = 5  # of adjtimex(2): the clock is not synchronised


def clock_status() -> int | None:
    """Return the status of adjtimex(2), read only: 5 for an unsynchronised clock, None for an error."""
    status = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512))
    return status if status >= 0 else None


def check_clock(address: StoreAddress, kernel: Callable[[], int | None] = clock_status) -> Iterator[CheckResult]:
    """Check that the clock is synchronised, and that it did not jump; ``kernel`` returns the status of adjtimex(2)."""
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    spool = store_at(address)
    if spool.exists() and Clock(spool).in_doubt():
        yield warning(
            "clock",
            f"it jumped, and nothing is removed until it has been steady for a day. If it is {now}: "
            "triage clock --trust",
        )
    if kernel() == _TIME_ERROR:
        yield warning(
            "clock",
            f"it is {now} by this machine, and nothing synchronises its clock: run chrony or "
            "systemd-timesyncd. In a virtual machine the host may do it",
        )
    else:
        yield ok("clock", f"it is {now} by this machine")


def check_disk(settings: SpoolSettings) -> Iterator[CheckResult]:
    """Check how full the disk below the spool is, against the limits from which C-STORE is refused."""
    spool = store_at(next(each for each in (settings.path, *settings.path.parents) if each.is_dir()))
    usage = spool.usage()
    state = (
        f"{usage.free_bytes / 1e9:.0f} GB free of {usage.total_bytes / 1e9:.0f}, {usage.used_fraction:.0%} used; "
        f"C-STORE is refused above {settings.high_water:.0%}, and below {settings.min_free_bytes / 1e9:.1f} GB"
    )
    if HighWater(settings.high_water, settings.min_free_bytes).reached(spool):
        yield failed("disk", f"{state}: it would be refused now. Make room, or move the spool (docs/how-to/runbook.md)")
    elif usage.used_fraction > settings.high_water - _NEARLY_FULL:
        yield warning("disk", f"{state}: that is near. Make room, or lower spool.retention_days")
    else:
        yield ok("disk", state)


def check_sizing(settings: Settings, memory: int | None = None, machine: int | None = None) -> Iterator[CheckResult]:
    """Check memory, cores and descriptors against the needs of all processes.

    Args:
        settings: All settings.
        memory: Bytes that this process may use. None: as the system says. Where they are less than ``machine``, they
            are the limit of one container or unit, which need not hold all processes.
        machine: Bytes of memory of the machine. None: as the system says.
    """
    worker = settings.worker
    cores = len(os.sched_getaffinity(0))
    decoders = max(worker.decode_processes or cores, 2)
    has = (memory or most_memory()) / _MIB
    takes = _ALWAYS_MIB + worker.processes * (_WORKER_MIB + decoders * _DECODER_MIB)
    state = f"{has / 1024:.1f} GiB of memory, of which all processes take about {takes / 1024:.1f}; {cores} cores"
    if takes > has and has * _MIB < (machine or memory or machine_s_memory()):
        limited = "but that is the limit of this container or unit: enough if the others have limits of their own"
        yield warning("sizing", f"{state}; {limited}")
    elif takes > has:
        yield failed("sizing", f"{state}: too little. Lower worker.processes or worker.decode_processes")
    elif takes > has / 2:
        yield warning("sizing", f"{state}: large images may be refused for want of memory (worker.decode_memory_bytes)")
    elif worker.processes > cores:
        yield warning("sizing", f"{state}: worker.processes = {worker.processes} is more than there are cores")
    else:
        yield ok("sizing", state)
    if shortage := shortage_of_descriptors(3 * settings.listener.max_associations, "listener.max_associations"):
        yield warning("sizing", shortage)
