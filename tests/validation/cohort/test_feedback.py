"""Labels of readers, exported from the spool."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from tests.support.redis_server import RedisServer
from tests.support.worklist_page import tagged
from triage.cli import triage as cli
from triage.decision.types import Tag
from triage.spool.spool import Spool
from triage.validation.cohort.manifest import read_manifest
from triage.worklist import reader_acts as reading
from triage.worklist.index import IndexedWorklist


def test_labels_on_which_all_readers_agree_are_written_as_a_manifest(
    redis_server: RedisServer, spool: Spool, tmp_path: Path
):
    index = IndexedWorklist(redis_server.client())
    wrong, disputed, taken_back, unscored = (
        tagged(spool, index, number, tag)
        for number, tag in enumerate([Tag.ABNORMAL, Tag.NORMAL, Tag.NORMAL, Tag.NOT_ASSESSED])
    )

    def say(study: str, who: str, label: int | None) -> None:
        reading.mark(spool, index, study, reading.Marking(reading.Act.LABEL, 1.0, who, reading.Via.PAGE, label))

    say(wrong.study_instance_uid, "anna", 1)
    say(wrong.study_instance_uid, "anna", 0)  # thought again
    say(wrong.study_instance_uid, "ben", 0)
    say(disputed.study_instance_uid, "anna", 1)
    say(disputed.study_instance_uid, "ben", 0)
    say(taken_back.study_instance_uid, "anna", 1)
    say(taken_back.study_instance_uid, "anna", None)
    say(unscored.study_instance_uid, "anna", 1)

    out = tmp_path / "labels.csv"
    ran = CliRunner().invoke(cli, ["feedback", "--out", str(out)], env={"TRIAGE_SPOOL_PATH": str(spool.root)})
    assert ran.exit_code == 0, ran.output
    assert "1 image" in ran.output
    (row,) = read_manifest(out)
    assert (row.label, row.columns["study"], row.columns["tag"]) == (0, wrong.study_instance_uid, "ABNORMAL")
    assert row.columns["readers"] == "2"
    assert row.image.resolve().is_file()
    assert "PHANTOM" not in out.read_text()


def test_without_labels_it_says_so(spool: Spool, tmp_path: Path):
    out = tmp_path / "labels.csv"
    ran = CliRunner().invoke(cli, ["feedback", "--out", str(out)], env={"TRIAGE_SPOOL_PATH": str(spool.root)})
    assert "0 images" in ran.output
