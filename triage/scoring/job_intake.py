"""Jobs from the queue to the objects that they name. A job of anything else is refused, and nothing of it is run."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from triage.metrics.worker import WorkerMetrics
from triage.queue.rq_adapter import Job, has_callbacks
from triage.queue.score_queue import FUNCTIONS, PartitionedInstance, ScoreQueue
from triage.scoring.partitioned import PartitionedScorer

logger = logging.getLogger(__name__)

TakenJobs = list[tuple[Job, PartitionedInstance]]


class JobIntake:
    """Find the objects that jobs name, and refuse jobs that name none to score."""

    def __init__(self, jobs: ScoreQueue, scorers: PartitionedScorer, metrics: WorkerMetrics) -> None:
        self._jobs = jobs
        self._scorers = scorers
        self._metrics = metrics

    def accepted(self, jobs: Sequence[Job]) -> TakenJobs:
        """Return the jobs that name an object to score, with that object; the others are refused."""
        return [(job, work) for job in jobs if (work := self._work_of(job)) is not None]

    def _work_of(self, job: Job) -> PartitionedInstance | None:
        try:
            if job.func_name not in FUNCTIONS:
                raise ValueError(f"{str(job.func_name)[:200]!r} is not on the closed list of job functions")
            if has_callbacks(job):
                raise ValueError("a job of ours has no callbacks")
            work = PartitionedInstance.from_key(job.args[0])
            if not self._scorers.has_partition_of(work):
                raise ValueError(f"nothing is scored in {work.partition[:80]!r} here")
            return work
        except Exception as error:  # the edge: a job may hold anything
            text = f"{type(error).__name__}: {error}"
            logger.error("refused job %s: %s", job.id, text)
            self._jobs.refuse(job, text)
            self._metrics.jobs_refused.inc()
            return None
