"""The wait of a process whose database is away when it starts, as after a power failure of all hosts (ADR 84)."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from triage.runtime.health import HealthServer
from triage.runtime.stop_signal import StopSignal
from triage.service.health import MetricsAddress
from triage.service.ready_addresses import nth_port
from triage.service.store import store_address
from triage.settings.schema import Settings
from triage.settings.sections.web import WebSettings
from triage.spool.errors import engine_away, engine_words
from triage.spool.open_store import open_store
from triage.spool.store import Store

logger = logging.getLogger(__name__)

_LOOK_S = 2.0
_SAY_S = 60.0


def opened_store(settings: Settings, process: str, address: MetricsAddress | WebSettings, index: int) -> Store | None:
    """Open the store, as soon as its database answers; None if the process is told to stop before.

    Meanwhile its port of health is open and says what it waits for. Raises OSError and SpoolError for a store that does
    answer and cannot be used, StartError if the port is taken.
    """
    where = store_address(settings)
    try:
        return open_store(where)
    except OSError as error:
        if engine_away(error) is None:
            raise
        wait = _Wait(process)
        wait.note(error)
    with StopSignal.meanwhile() as stopping, _health(wait, address, index):
        while not stopping.received:
            stopping.wait(_LOOK_S)
            try:
                found = open_store(where)
            except OSError as error:
                if engine_away(error) is None:
                    raise
                wait.note(error)
            else:
                logger.info("%s: the database answers", process)
                return None if stopping.received else found
    return None


@dataclass
class _Wait:
    """The wait of one process, in words; they are logged when they change, and every minute."""

    process: str
    words: str = ""
    _said_at: float = field(default=float("-inf"))

    def note(self, error: OSError) -> None:
        words = f"waiting for {engine_words(error)}"
        if words != self.words or time.monotonic() - self._said_at >= _SAY_S:
            self._said_at = time.monotonic()
            logger.error("%s: %s (tried every %g s)", self.process, words, _LOOK_S)
        self.words = words

    def ready(self) -> tuple[bool, str]:
        return False, self.words


def _health(wait: _Wait, address: MetricsAddress | WebSettings, index: int) -> HealthServer:
    """Return the server of /healthz and /readyz at the place where the process itself will have it."""
    registry = CollectorRegistry()
    if isinstance(address, WebSettings):
        return HealthServer(registry, wait.ready, address.port, address.host, waits=True)
    return HealthServer(registry, wait.ready, nth_port(address.metrics_port, index), address.metrics_host)
