"""The correction that a destination has to be told: by a person's act, or by a note that the site vouches for."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from triage.decision.correction import Correction, correction_by_note
from triage.decision.urgency import lowers
from triage.delivery.record import DeliveryRecord
from triage.spool.recall_file import corrections_of
from triage.spool.store import Store
from triage.spool.study import Study


def due_correction(
    spool: Store,
    study: Study,
    destination: str,
    reached: Sequence[DeliveryRecord],
    told: Collection[str],
    content: list[object],
) -> Correction | None:
    """Return the correction that has to be told; None if none is due.

    Args:
        spool: The spool of the study.
        study: The study as it is now.
        destination: The destination.
        reached: The messages about the study that the destination has, or may have, in order.
        told: Identifiers of the corrections that it was told, or of which there was nothing to send.
        content: What it would be told now.
    """
    if not reached or all(each.said == content for each in _since_correction(reached)):
        return None
    acts = corrections_of(spool, study.decision.study_instance_uid)
    if acts and acts[-1].identifier not in told and reached[-1].number <= acts[-1].told.get(destination, 0):
        return acts[-1]
    note = correction_by_note(study.decision, [image.assessment for image in study.images])
    if note is None or note.identifier in told or not lowers(reached[-1].told_urgency, study.decision.urgency):
        return None
    return note


def _since_correction(reached: Sequence[DeliveryRecord]) -> Sequence[DeliveryRecord]:
    """Return the last correction and the messages that followed it; all, if none was a correction."""
    start = max((at for at, each in enumerate(reached) if each.correction), default=0)
    return reached[start:]
