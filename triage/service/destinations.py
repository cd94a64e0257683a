"""The destinations that are switched on: folders in the outbox, marks, and expiry of their certificates."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from triage.channels.settings import Destination
from triage.delivery.outbox import Outbox
from triage.metrics.tls import CertificateMetrics
from triage.settings.schema import Settings
from triage.spool.store import Store


def prepare_destinations(settings: Settings, spool: Store) -> tuple[str, ...]:
    """Make the folders of the destinations that are switched on, and return their names."""
    names = tuple(each.name for each in settings.channels.enabled())
    Outbox(spool).prepare(names)
    return names


def mark_all(outbox: Outbox, destinations: tuple[str, ...], study_instance_uid: str) -> None:
    """Mark a study's present result as to be delivered to each of ``destinations``."""
    for name in destinations:
        outbox.mark(study_instance_uid, name)


def watch_destinations(metrics: CertificateMetrics, destinations: Iterable[Destination]) -> None:
    """Export the expiry of each certificate that is shown to a destination."""
    for each in destinations:
        watch_certificate(metrics, each.name, getattr(each, "tls_certificate", None))


def watch_certificate(metrics: CertificateMetrics, use: str, certificate: Path | None) -> None:
    """Export the expiry of a certificate that is shown for ``use``; nothing where there is none."""
    from triage.dicom.tls import not_after_or_zero

    if certificate:
        metrics.certificate_not_after.labels(use).set_function(partial(not_after_or_zero, certificate))
