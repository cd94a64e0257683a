"""An image whose receipt a disk altered is no newer than it was, however often it is scored."""

from __future__ import annotations

import os
from pathlib import Path

from tests.scoring.test_batch import Bench, bench, changed, sessions
from tests.support.service import a_chest, receive
from triage.decision.types import Tag
from triage.spool.spool import Spool

__all__ = ["bench", "sessions"]  # fixtures


def alter_receipt(path: Path) -> None:
    stat, content = path.stat(), path.read_bytes()
    assert content.count(b'{"received_at"') == 1
    path.write_bytes(content.replace(b'{"received_at"', b'}"received_at"'))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_first_content_that_is_scored_again_does_not_outrank_its_correction(bench: Bench, spool: Spool) -> None:
    first = receive(spool, file := a_chest(0))
    assert bench.work([first]) == [] and bench.only().tag is Tag.NORMAL
    correction = receive(spool, changed(file, PatientAge=""))
    assert bench.work([correction]) == [] and bench.only().tag is Tag.NOT_ASSESSED

    alter_receipt(spool.filed_path(first))
    with spool.study_lock(first.study_instance_uid):
        spool.take_back(first)
    assert bench.work([first]) == []
    assert bench.only().tag is Tag.NOT_ASSESSED
