"""Log lines of rejection notes: a person has to know of one that counts for nothing."""

from __future__ import annotations

import logging

from triage.decision.types import ImageAssessment
from triage.runtime.log_context import about
from triage.spool.instance import ReceivedInstance

logger = logging.getLogger(__name__)


def log_note(instance: ReceivedInstance, assessment: ImageAssessment) -> None:
    """Log a rejection note; nothing of any other object."""
    note = assessment.rejection
    if note is None:
        return
    uid = instance.study_instance_uid
    with about(association=assessment.association, study=uid, object=instance.sop_instance_uid):
        if note.refused:
            logger.warning("%s: %s; see `triage explain %s`", instance.key, assessment.detail, uid)
        else:
            logger.info("%s: %s", instance.key, assessment.detail)
