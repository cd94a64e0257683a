"""A part of the bucket gives nothing, as where one server of several is away: its objects wait, others go on."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tests.support.cluster import Cluster
from tests.support.failing_buckets import FailingKeys
from tests.support.file_bucket import FileBucket
from tests.support.in_process_worker import Workplace
from tests.support.model_folders import write_model
from tests.support.redis_server import RedisServer
from tests.support.service import a_chest
from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.model.session import ModelSession
from triage.queue.score_queue import UNREAD_PAUSES_S
from triage.runtime.child_pool import DecodePool


class PartialBucket(FailingKeys):
    """Fails for the keys that the file ``away`` next to it names: decode processes see it too."""

    number = errno.ETIMEDOUT

    def _check(self, key: str) -> None:
        away = self.folder.parent / "away"
        if away.exists() and key in away.read_text().splitlines():
            raise OSError(self.number, "the volume is not there")


class ForgetfulBucket(PartialBucket):
    number = errno.ENOENT


def workplace(cluster: Cluster, bucket: FileBucket, redis: RedisServer, folder: Path, pool: DecodePool) -> Workplace:
    card = write_model(folder / "models", "tiny-adult", bias=-10)
    sessions = {card.name: ModelSession(folder / "models" / card.name, card, threads=1)}
    return Workplace(cluster.open(bucket), redis, sessions, pool)


@pytest.mark.parametrize("kind", [PartialBucket, ForgetfulBucket])
def test_an_object_that_cannot_be_read_waits_for_minutes_while_others_go_on(
    cluster: Cluster, redis_server: RedisServer, tmp_path: Path, pool: DecodePool, kind: type[PartialBucket]
):
    place = workplace(cluster, kind(cluster.bucket.folder), redis_server, tmp_path, pool)
    (first, *_) = place.queued(a_chest(0), a_chest(5), a_chest(6))
    place.work()
    study, store, away = first.study_instance_uid, place.spool, tmp_path / "away"
    late, elsewhere = place.queued(a_chest(0, age="003Y"), a_chest(7))
    away.write_text(store.stored_object(late).key)  # type: ignore[union-attr]
    looks = 0
    for number in range(len(UNREAD_PAUSES_S)):
        place.work(name=f"w{number}")
        assert place.jobs.depth() == 0
        looks = int(place.counted("postponed_total", why="unread"))
        place.sweep()
        assert place.jobs.depth() == 0, "nothing is tried before its pause is over"
        if looks == len(UNREAD_PAUSES_S):
            break
        place.end_pauses()
        place.sweep()
    assert looks == len(UNREAD_PAUSES_S) and not list(place.client.scan_iter("cxr-triage:failures"))
    assert list(store.waiting()) == [late] and store.is_filed(elsewhere) and not list(store.dead_letters())
    assert place.tags()[study] == (Tag.NORMAL, ()), "it is listed as it was"

    away.unlink()
    place.end_pauses()
    place.sweep()
    place.work(name="back")
    assert list(store.waiting()) == [] and not list(store.dead_letters())
    tag, reasons = place.tags()[study]
    assert tag is Tag.NOT_ASSESSED and Reason.WORKER_FAILURE not in reasons


def test_one_that_stays_away_is_given_up_at_last_and_its_study_says_so(
    cluster: Cluster, redis_server: RedisServer, tmp_path: Path, pool: DecodePool
):
    place = workplace(cluster, PartialBucket(cluster.bucket.folder), redis_server, tmp_path, pool)
    place.queued(a_chest(5), a_chest(6))
    place.work()
    (lost,) = place.queued(a_chest(0))
    (tmp_path / "away").write_text(place.spool.stored_object(lost).key)  # type: ignore[union-attr]
    for number in range(len(UNREAD_PAUSES_S) + 3):
        place.work(name=f"w{number}")
        place.end_pauses()
        place.sweep()
    assert [letter for letter, _ in place.spool.dead_letters()] == [lost]
    assert place.tags()[lost.study_instance_uid] == (Tag.NOT_ASSESSED, (Reason.WORKER_FAILURE,))
