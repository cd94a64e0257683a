"""How each labelled case was chosen, and which may be used for figures of accuracy."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.redis_server import RedisServer
from tests.support.worklist_page import tagged
from triage.adjudication import acts
from triage.adjudication.acts import Objection, Verdict
from triage.adjudication.choice import CaseChooser, ChoiceRules
from triage.adjudication.journal import Contradicted
from triage.adjudication.retention import forget
from triage.cli import triage as cli
from triage.decision.types import Tag
from triage.spool.spool import Spool
from triage.validation.cohort.chosen import representative
from triage.validation.cohort.manifest import ManifestError, Row, read_manifest
from triage.validation.cohort.members import open_cohort
from triage.worklist.index import IndexedWorklist
from triage.worklist.reader_acts import Act, Marking, Via, mark


def rows(*ways: str) -> list[Row]:
    return [Row(Path(f"{number}.png"), number % 2, f"own:{number}", columns={"chosen_by": way}, line=number + 2)
            for number, way in enumerate(ways)]  # fmt: skip


def test_only_cases_without_a_choice_and_random_ones_are_measured() -> None:
    every = rows("random", "", "disagreement", "tie", "uncertainty", "reader", "random")
    kept, notes = representative(Path("own.csv"), every)
    assert [row.columns["chosen_by"] for row in kept] == ["random", "", "random"]
    assert [note.split(":")[0] for note in notes] == [
        f"1 image left out, chosen by {way}" for way in ("disagreement", "reader", "tie", "uncertainty")
    ]
    assert representative(Path("own.csv"), rows("", "random"))[1] == ()


def test_a_cohort_of_disagreements_alone_and_an_unknown_word_are_refused() -> None:
    with pytest.raises(ManifestError, match="chosen by disagreement, tie, which says nothing of all cases"):
        representative(Path("own.csv"), rows("tie", "disagreement"))
    with pytest.raises(ManifestError, match="line 3: chosen_by 'Random' is none of"):
        representative(Path("own.csv"), rows("random", "Random"))


def test_labels_go_out_with_how_they_were_chosen_and_validation_leaves_the_others_out(
    redis_server: RedisServer, spool: Spool, tmp_path: Path
) -> None:
    index = IndexedWorklist(redis_server.client())
    tags = (Tag.ABNORMAL, Tag.NORMAL, Tag.NORMAL, Tag.ABNORMAL, Tag.NORMAL)
    audited, second, unjudged, disputed, agreed = (tagged(spool, index, n, tag) for n, tag in enumerate(tags))
    draw = CaseChooser(spool, ChoiceRules(1.0, "=seed"), lambda: 0.5)
    for each in (audited, second, unjudged):
        draw(each, True)
    for each, label in ((audited, 0), (second, 1)):
        acts.judge(spool, each.study_instance_uid, Verdict("cleo", 2.0, "", label, "=cmd|'/C calc'!A0", True))
    mark(spool, index, unjudged.study_instance_uid, Marking(Act.LABEL, 1.0, "ann", Via.PAGE, 0))
    mark(spool, index, agreed.study_instance_uid, Marking(Act.LABEL, 1.0, "ann", Via.PAGE, 0))
    uid = disputed.study_instance_uid
    acts.disagree(spool, uid, Objection("ann", 1.0, Via.PAGE, Contradicted.MODEL, "", 0, "normal"))
    acts.judge(spool, uid, Verdict("cleo", 2.0, "", 0, "normal", True))

    out, cases = tmp_path / "labels.csv", tmp_path / "cases.csv"
    settings = {"TRIAGE_SPOOL_PATH": str(spool.root)}
    ran = CliRunner().invoke(cli, ["feedback", "--out", str(out), "--cases", str(cases)], env=settings)
    assert ran.exit_code == 0, ran.output
    assert "random audit: 2 of 3 drawn studies are judged" in ran.output
    chosen = {row.columns["study"]: (row.columns["chosen_by"], row.label) for row in read_manifest(out)}
    assert chosen == {
        audited.study_instance_uid: ("random", 0),
        second.study_instance_uid: ("random", 1),
        uid: ("disagreement", 0),
        agreed.study_instance_uid: ("reader", 0),
    }
    written = list(csv.DictReader(cases.open(newline="")))
    assert {each["chosen_by"] for each in written} == {"random", "disagreement"}
    assert {each["reason"] for each in written if each["label"] == "1"} == {"'=cmd|'/C calc'!A0"}
    assert {each["sample_seed"] for each in csv.DictReader(out.open(newline=""))} == {"'=seed", ""}
    cohort = open_cohort(out)
    assert [member.row.columns["chosen_by"] for member in cohort.members] == ["random", "random"]
    assert len(cohort.notes) == 3
    assert cohort.notes[-1].startswith("only 2 of 3 studies of the random audit are judged")

    forget(spool, unjudged.study_instance_uid, time.time())  # as retention does: what is left is no random part still
    spool.remove_study(unjudged.study_instance_uid)
    ran = CliRunner().invoke(cli, ["feedback", "--out", str(out)], env=settings)
    assert "random audit: 2 of 3 drawn studies are judged\nretention removed 1 of them" in ran.output
    assert {row.columns["sample_drawn"] for row in read_manifest(out)} == {"3", ""}
