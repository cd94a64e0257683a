"""Small values for tests, each argument overridable."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import Any

import numpy as np

from triage.decision.types import ActivationMap, ImageAssessment, Priority, Tag, TriageDecision
from triage.spool.instance import ReceivedInstance


def an_instance(study: str = "1.2.3", sop: str = "1.2.3.4", content: bytes = b"pixels") -> ReceivedInstance:
    return ReceivedInstance(study, sop, sha256(content).hexdigest())


def an_assessment(**changes: Any) -> ImageAssessment:
    """A frontal chest that was scored as normal."""
    values: dict[str, Any] = {
        "study_instance_uid": "1.2.3",
        "series_instance_uid": "1.2.3.1",
        "sop_instance_uid": "1.2.3.4",
        "content_digest": "a" * 64,
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.1.1",
        "accession_number": "A1",
        "modality": "DX",
        "view": "PA",
        "calling_ae_title": "PACS",
        "received_at": 1000.0,
        "assessed_at": 1001.0,
        "tag": Tag.NORMAL,
        "probability": 0.1,
        "reasons": (),
        "model_id": "rsna-adult 1",
        "model_digest": "b" * 64,
        "operating_point": 0.5,
    }
    return ImageAssessment(**{**values, **changes})


def a_map(rows: int = 5, columns: int = 5, hot: tuple[int, int] = (0, 0), **edges: float) -> ActivationMap:
    """An activation map of which one cell alone draws the score."""
    cells = np.full((rows, columns), -2.0, dtype="<f4")
    cells[hot] = 12.0
    return ActivationMap(rows, columns, b64encode(cells.tobytes()).decode(), **edges)


def a_decision(study: str = "1.2.3", **changes: Any) -> TriageDecision:
    """A normal study."""
    values: dict[str, Any] = {
        "accession_number": "A1",
        "tag": Tag.NORMAL,
        "probability": 0.1,
        "priority": Priority.MEDIUM,
        "reasons": (),
        "model_id": "rsna-adult 1",
        "evidence": (f"{study}.4",),
        "received_at": 1000.0,
        "tagged_at": 1001.0,
        "revision": "c" * 64,
    }
    return TriageDecision(study_instance_uid=study, **{**values, **changes})
