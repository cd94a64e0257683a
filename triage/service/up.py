"""`triage up`: every process of the service on one machine, until SIGTERM or SIGINT."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager

from triage.errors import StartError
from triage.runtime.file_lock import single_instance as lock_of
from triage.runtime.stop_signal import StopSignal
from triage.service.single_instance import single_instance
from triage.service.store import store_address
from triage.service.supervisor import RunRole, build, forking
from triage.settings.schema import Settings
from triage.spool.open_store import open_store

logger = logging.getLogger(__name__)

_LOOK_S = 0.5


def up(settings: Settings, environment: Mapping[str, str], run_role: RunRole) -> None:
    """Start all processes, watch them until SIGTERM or SIGINT, and stop them in order.

    Raises StartError if a process cannot start.
    """
    stopping = StopSignal()
    with _alone(settings) as lock:
        service = build(settings, environment, forking(run_role, lock))
        try:
            service.start()
            logger.info("up: DICOM port %d, HTTP port %d", settings.listener.port, settings.web.port)
            while not stopping.received:
                service.watch()
                stopping.wait(_LOOK_S)
        finally:
            service.stop()


def _alone(settings: Settings) -> AbstractContextManager[int]:
    """Hold the lock of the one `triage up` of a spool, or, where hosts share the store, of this host's scratch folder.

    Raises StartError if another one holds it.
    """
    if settings.store.kind == "files":
        return single_instance(open_store(store_address(settings)), "up")
    scratch = settings.store.scratch.absolute()
    refusal = StartError(f"another `triage up` of this host has the folder {scratch}: stop it first")
    return lock_of(scratch.with_name(f"{scratch.name}.up"), refusal)
