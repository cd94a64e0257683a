"""Processes of which one at most may run on a spool."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from triage.errors import StartError
from triage.spool.spool import Spool


@contextmanager
def single_instance(spool: Spool, process: str) -> Iterator[None]:
    """Hold the spool as its only ``triage PROCESS``. Raises StartError if another one holds it."""
    with ExitStack() as stack:
        try:
            stack.enter_context(spool.workers.hold(process))
        except BlockingIOError as error:
            raise StartError(f"another `triage {process}` runs on the spool {spool.root}: stop it first") from error
        yield
