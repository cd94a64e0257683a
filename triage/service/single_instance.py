"""Processes of which one at most may run on a spool."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from triage.errors import StartError
from triage.spool.store import Store


@contextmanager
def single_instance(spool: Store, process: str) -> Iterator[int]:
    """Hold the spool as its only ``triage PROCESS``; yields the lock's descriptor.

    Raises StartError if another one holds it.
    """
    refusal = StartError(f"another `triage {process}` runs on the spool {spool.name}: stop it first")
    with spool.workers.hold_alone(process, refusal) as descriptor:
        yield descriptor
