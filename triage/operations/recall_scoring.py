"""Score recalled images again: their objects go back into the inbox, behind everything that is not scored yet."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from itertools import islice

from redis import Redis
from redis.exceptions import RedisError

from triage.decision.records import to_record
from triage.errors import cause
from triage.operations.recall import ImageState, RecallScope, recalled_images
from triage.queue.score_queue import ScoreQueue
from triage.spool.recall_file import add_scored_again
from triage.spool.store import Store

logger = logging.getLogger(__name__)

MOST_WAITING = 2000
"""Objects in the inbox from which on a recall waits: today's work must not be looked for among tens of thousands."""
_PAUSE_S = 2.0


def score_again(spool: Store, client: Redis, study_instance_uid: str, scope: RecallScope, now: float) -> int:
    """Put the study's recalled images back into the inbox and queue them; return their number.

    What was said of them is recorded first. If it is interrupted, the next call moves the rest. If Redis does not
    answer, the next sweep queues what is in the inbox. Raises OSError, ValueError, KeyError and TypeError for records
    that cannot be read or written.
    """
    if spool.decision(study_instance_uid) is None:  # before its lock creates a folder
        return 0
    with spool.study_lock(study_instance_uid):
        images = recalled_images(spool, study_instance_uid, scope)
        todo = [each for each in images if each.state is ImageState.STANDS and spool.is_filed(each.instance)]
        if not todo:
            return 0
        add_scored_again(spool, study_instance_uid, now, [to_record(each.said) for each in todo])
        for each in todo:
            spool.take_back(each.instance)
    jobs = ScoreQueue(client)
    try:
        for each in todo:
            jobs.again(each.instance, prior=True)
    except RedisError as error:
        logger.warning("Redis does not answer (%s): the next sweep queues the objects", cause(error))
    return len(todo)


def wait_for_room(spool: Store, most: int = MOST_WAITING, pause: Callable[[float], object] = time.sleep) -> None:
    """Wait while the inbox has ``most`` objects."""
    told = False
    while sum(1 for _ in islice(spool.waiting(), most)) >= most:
        if not told:
            logger.info("%d objects wait to be scored: going on when there are fewer", most)
        told = True
        pause(_PAUSE_S)
