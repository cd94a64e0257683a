"""Queueing of stored objects, in a thread of its own."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from triage.metrics.listener import ListenerMetrics
from triage.queue.names import Queued

logger = logging.getLogger(__name__)


_UNSENT_AT_MOST = 100_000  # more objects are left to the sweep


@dataclass
class Enqueuer:
    """Queues new objects in a thread of its own, so that a failure of the queue never reaches a sender.

    An object that cannot be queued is in the inbox, where the sweep finds it.
    """

    enqueue: Callable[[Queued], object]
    metrics: ListenerMetrics
    _waiting: queue.SimpleQueue[Queued | None] = field(default_factory=queue.SimpleQueue)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="enqueue", daemon=True)
        self._thread.start()

    def put(self, instance: Queued) -> None:
        """Queue ``instance`` soon; returns at once."""
        if self._waiting.qsize() < _UNSENT_AT_MOST:
            self._waiting.put(instance)

    def close(self, timeout_s: float = 10.0) -> None:
        """Queue the objects that are left, and end the thread."""
        self._waiting.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (instance := self._waiting.get()) is not None:
            try:
                self.enqueue(instance)
            except Exception as error:  # the edge: any failure of the queue is left to the sweep
                self.metrics.enqueue_failures.inc()
                logger.warning("%s is not queued (%s); the sweep will find it", instance.sop_instance_uid, error)
