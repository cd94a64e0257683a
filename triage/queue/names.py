"""The names in the queue: of the queues, of the job function, of an object and of its job."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Protocol, Self

from triage.spool.instance import ReceivedInstance

QUEUE = "score"
PRIORS = "score-priors"
"""The queue of priors, which are not urgent: taken when the other queues are empty, and sometimes before."""
STAT = "score-stat"
"""The queue of STAT orders: taken before the others, and not always."""

# Jobs of an older release may be in Redis: the text stays whatever the module is called.
SCORE = "triage.jobs.score"
FUNCTIONS = frozenset({SCORE})
"""The closed list of job functions. It has no callbacks, which RQ would import by name."""

JOB_PREFIX = "score_"


class Delay(StrEnum):
    """Reasons for which an object waits outside the queue; also the label ``why`` of postponed_total.

    LOCKED: another process holds its study for too long. UNDECIDED: its study cannot be written or read. UNREAD: the
    store gives others, and not its bytes, or not those that were received.
    """

    LOCKED = "locked"
    UNDECIDED = "undecided"
    UNREAD = "unread"


class Queued(Protocol):
    """An object that has a job: one in the patients' spool, or one in a partition."""

    @property
    def key(self) -> str:
        """Its name in the queue."""

    @property
    def sop_instance_uid(self) -> str:
        """Its SOP Instance UID."""


@dataclass(frozen=True)
class PartitionedInstance:
    """One object and its partition: the partition's name, or empty for the patients' spool."""

    partition: str
    instance: ReceivedInstance

    @property
    def key(self) -> str:
        """The object's key, behind ``PARTITION/`` if it is in one."""
        return f"{self.partition}/{self.instance.key}" if self.partition else self.instance.key

    @property
    def sop_instance_uid(self) -> str:
        """The object's SOP Instance UID."""
        return self.instance.sop_instance_uid

    @classmethod
    def from_key(cls, key: str) -> Self:
        """Return the object and partition of ``key``. Raises ValueError for a malformed key."""
        partition, _, rest = key.rpartition("/")
        return cls(partition, ReceivedInstance.from_key(rest))


def job_id(instance: Queued) -> str:
    """Return the ID of an object's job, in the characters that RQ allows: letters, digits, _ and -."""
    digest = sha256(instance.key.encode()).hexdigest()[:32]
    return f"{JOB_PREFIX}{instance.sop_instance_uid.replace('.', '-')}_{digest}"
