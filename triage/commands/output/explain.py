"""One study explained: every object, step, score, reason and time."""

from __future__ import annotations

import sys
import time

from triage.model.points_file import PointsFile
from triage.operations.explain import explanation
from triage.operations.trace import gather
from triage.queue.score_queue import ScoreQueue, connect
from triage.runtime.release import Running
from triage.spool.store import Store


def print_explanation(
    study: str, spool: Store, redis_url: str, timeout_s: float, running: Running, points: PointsFile | None = None
) -> None:
    """Print all that is known of a study. Raises InvalidUIDError, and LookupError for a study that is not known."""
    with connect(redis_url, timeout_s) as client:
        trace = gather(study, spool, ScoreQueue(client).describe)
    page = explanation(trace, time.time(), points=points)
    sys.stdout.write(page + f"\nExplained by {running}.\n")
