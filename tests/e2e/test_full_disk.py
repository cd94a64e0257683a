"""The whole service on a file system that fills up: nothing acknowledged is lost, and it recovers by itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.support.dicom_peer import store
from tests.support.real_radiographs import Sent, adults, fresh, read, wrapped
from tests.support.small_disk import mounted
from tests.support.wait import wait_for
from tests.support.whole_service import Service
from triage.queue.score_queue import ScoreQueue

_PAGE = 4096


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path, megabytes=8) as folder:
        yield folder


@pytest.fixture
def chest(triage_data: Path, tmp_path: Path) -> Sent:
    row = adults(triage_data, 1)[0]
    return wrapped(row["path"], tmp_path, row["view"], row["age"])


def fill(disk: Path, leave: int) -> Path:
    """A file that takes all of the disk but ``leave`` bytes."""
    filler = disk / "filler"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    filler.write_bytes(bytes(free - leave))
    return filler


def test_a_full_disk_is_survived(small_disk: Path, models: Path, tmp_path: Path, chest: Sent) -> None:
    with Service(tmp_path / "service", models, spool_path=str(small_disk / "spool")) as service:
        assert "is in memory (tmpfs): a power failure or a restart of the machine loses all of it" in service.log()
        assert store(service.dicom_port, read(chest.path)) == [0x0000]
        (expected,) = service.tagged(chest.study).values()
        (kept,) = service.spool.study_folder(chest.study).glob("*.dcm")
        pages = -(-kept.stat().st_size // _PAGE)

        # Too full for an object: refused, nothing half-written, and what was there is still served.
        filler = fill(small_disk, (pages // 2) * _PAGE)
        refused = fresh(chest.path, tmp_path)
        assert store(service.dicom_port, read(refused.path)) == [0xA700]
        assert not list(service.spool.incoming.glob("*.part"))
        assert not list(service.spool.waiting())
        assert service.worklist().keys() == {chest.study}
        filler.unlink()

        # Room for the object and for nothing else: acknowledged, and its result cannot be written.
        filler = fill(small_disk, pages * _PAGE)
        last = fresh(chest.path, tmp_path)
        assert store(service.dicom_port, read(last.path)) == [0x0000]
        wait_for(
            lambda: service.log().count("the spool cannot be written (No space left on device)") > 2,
            "the worker to try and try again",
        )
        assert last.study not in service.worklist()
        (waiting,) = service.spool.waiting()
        assert waiting.sop_instance_uid == last.sop
        with Redis.from_url(service.redis_url) as client:  # it costs the object no try: a disk may be full for hours
            assert ScoreQueue(client).deaths([waiting]) == [0]
            assert not client.hexists("cxr-triage:failures", waiting.key)

        filler.unlink()
        assert store(service.dicom_port, read(refused.path)) == [0x0000]
        entries = service.tagged(chest.study, last.study, refused.study)
        assert {entry["probability"] for entry in entries.values()} == {expected["probability"]}
        assert service.get("/api/status")[1]["dead_letters"] == 0
        assert not list(service.spool.incoming.glob("*.part"))
        assert "Traceback" not in service.log()
