"""The targets that a listener stores and counts objects in: the patients' spool, and the partitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

from triage.metrics.listener import ListenerMetrics
from triage.queue.names import PartitionedInstance, Queued
from triage.spool.instance import ReceivedInstance
from triage.spool.store import Store
from triage.spool.usage import HighWater


@dataclass(frozen=True)
class StorageTarget:
    """A spool, the metrics that count what comes into it, and the name of its partition (empty: the patients')."""

    spool: Store
    metrics: ListenerMetrics
    partition: str = ""

    def queued(self, instance: ReceivedInstance) -> Queued:
        """Return ``instance`` as the queue names it."""
        return PartitionedInstance(self.partition, instance) if self.partition else instance


def uncounted_target(spool: Store, partition: str) -> StorageTarget:
    """Return the target of objects that are no patient's, whose metrics are not exported."""
    return StorageTarget(spool, ListenerMetrics(), partition)


Redirect = Callable[[ReceivedInstance], StorageTarget | None]
"""Returns the target of one object where it is another than its sender's, else None; on the same file system."""


def no_redirect(instance: ReceivedInstance) -> None:
    """Leave every object in the target of its sender."""


@dataclass(frozen=True)
class CanaryRoute:
    """The route of the objects that we send to ourselves as ``ae_title``; by default there is none.

    An object that is not expected is a patient's, whatever AE title its sender uses.
    """

    ae_title: str = ""
    redirect: Redirect = no_redirect

    @classmethod
    def to(cls, ae_title: str, target: StorageTarget, expected: Callable[[ReceivedInstance], bool]) -> Self:
        """Return the route that stores each ``expected`` object of ``ae_title`` in ``target``."""
        return cls(ae_title, lambda instance: target if expected(instance) else None)


@dataclass(frozen=True)
class StorageTargets:
    """Every target of a listener. ``partitions``: the targets of single senders, by calling AE title."""

    patients: StorageTarget
    high_water: HighWater
    partitions: Mapping[str, StorageTarget] = field(default_factory=dict)
    canary: CanaryRoute = field(default_factory=CanaryRoute)

    def of(self, calling_ae_title: str) -> StorageTarget:
        """Return the target of a sender."""
        return self.partitions.get(calling_ae_title, self.patients)

    def redirect(self, calling_ae_title: str) -> Redirect:
        """Return the redirect of a sender's objects."""
        return self.canary.redirect if calling_ae_title == self.canary.ae_title else no_redirect
