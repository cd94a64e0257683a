"""The partitions that this service keeps apart from the patients' spool."""

from __future__ import annotations

from triage.canary.partition import CANARY
from triage.settings.schema import Settings
from triage.spool.store import Store
from triage.spool.validation_partition import VALIDATION


def partitions(settings: Settings, spool: Store) -> dict[str, Store]:
    """Return the canary's partition, and that of what is sent to validate, by their names in the queue."""
    names = (CANARY, VALIDATION) if settings.listener.validation_ae_title else (CANARY,)
    return {name: spool.partition(name) for name in names}
