"""A recall from the bad model to the correction: listed, scored again by a worker, corrected once, and resumed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from tests.support.in_process_worker import Workplace
from tests.support.model_folders import write_model
from tests.support.redis_server import RedisServer
from tests.support.service import a_chest
from tests.support.told_studies import Told
from triage.channels.hl7.settings import HL7Destination
from triage.channels.registry import channel_of
from triage.cli import triage
from triage.decision.reasons import Reason
from triage.decision.records import assessment_from, decision_from
from triage.decision.types import Tag
from triage.delivery.outbox import Outbox
from triage.model.session import ModelSession
from triage.queue.priors import is_prior
from triage.queue.score_queue import PRIORS
from triage.runtime.child_pool import DecodePool
from triage.scoring.batch import BatchScorer
from triage.scoring.decision_outputs import DecisionOutputs
from triage.scoring.partitioned import PartitionedScorer
from triage.spool.instance import ReceivedInstance
from triage.spool.recall_file import corrections_of, recalled_assessments
from triage.spool.spool import Spool
from triage.spool.study import GIVEN_UP_AFTER_S
from triage.worklist.carried_reading import put_with_reading
from triage.worklist.reader_acts import Act, Marking, Via, mark

RIS = HL7Destination(name="ris", host="127.0.0.1", port=1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelSession]:
    """A bad model, which finds everything abnormal, and its mended successor."""
    folder = tmp_path_factory.mktemp("models")
    found = {}
    for name, bias in (("bad", 10), ("mended", -10)):
        card = write_model(folder / name, "tiny-adult", bias=bias)
        found[name] = ModelSession(folder / name / card.name, card, threads=1)
    return found


class Hospital(Workplace):
    """A worker whose model can be replaced, with a RIS, and the command line."""

    def __init__(self, spool: Spool, server: RedisServer, models: dict[str, ModelSession], pool: DecodePool) -> None:
        super().__init__(spool, server, {"tiny-adult": models["bad"]}, pool)
        self.url, self.models = server.url, models
        self.digest = models["bad"].card.model_sha256
        self.outbox = Outbox(spool)
        self.outbox.prepare(["ris"])
        self.use("bad")

    def use(self, name: str) -> None:
        resources = replace(self.resources, sessions={"tiny-adult": self.models[name]})
        outputs = DecisionOutputs(
            self.metrics,
            lambda decisions: put_with_reading(self.spool, self.index, decisions),
            lambda uid: self.outbox.mark(uid, "ris"),
        )
        self.places = PartitionedScorer(BatchScorer(resources, self.spool, outputs, self.rules))

    def told(self, instance: ReceivedInstance) -> Told:
        return Told(self.spool, "ris", channel_of(RIS), instance.study_instance_uid)

    def recall(self, *options: str, channels: bool = True) -> Result:
        config = self.spool.root.parent / "triage.toml"
        ris = '[[channels.hl7]]\nname = "ris"\nhost = "127.0.0.1"\nport = 1\n' if channels else ""
        trail = f'[audit]\nalways = true\npath = "{self.spool.root.parent}/audit.log"\n'
        config.write_text(f'[spool]\npath = "{self.spool.root}"\n[redis]\nurl = "{self.url}"\n{trail}{ris}')
        return CliRunner().invoke(triage, ["--config", str(config), "recall", *options])

    def correct(self, *options: str) -> Result:
        return self.recall("--model", self.digest, "--send-corrections", "--by", "A. Person", *options)

    def acts(self) -> list[str]:
        lines = (self.spool.root.parent / "audit.log").read_text().splitlines()
        codes = (ElementTree.fromstring(line).find("EventIdentification/EventTypeCode") for line in lines)
        return [code.attrib["csd-code"] for code in codes if code is not None]


@pytest.fixture
def hospital(
    spool: Spool, redis_server: RedisServer, models: dict[str, ModelSession], pool: DecodePool
) -> Iterator[Hospital]:
    return Hospital(spool, redis_server, models, pool)


def tag_of(spool: Spool, study: str) -> Tag:
    record = spool.decision(study)
    assert record is not None
    return decision_from(record).tag


def test_a_bad_model_is_listed_scored_again_and_corrected_once(hospital: Hospital) -> None:
    instances = hospital.queued(a_chest(1), a_chest(2))
    hospital.work()
    for each in instances:
        assert hospital.told(each).deliver()
    mark(hospital.spool, hospital.index, instances[0].study_instance_uid, Marking(Act.READ, time.time(), "r", Via.PAGE))

    listed = hospital.recall("--model", hospital.digest[:12])
    assert listed.exit_code == 0, listed.output
    for each in instances:
        assert f"{each.study_instance_uid}  ABNORMAL, urgent;" in listed.output
    assert "ris 1: ABNORMAL, urgent, delivered" in listed.output
    assert "; read;" in listed.output
    assert "nothing was changed" in listed.output
    assert hospital.recall("--model", "0" * 64).output.startswith("nothing was found")
    assert hospital.recall("--model", hospital.digest, "--to", "2001-01-01").output.startswith("nothing was found")

    assert "score it again first" in hospital.correct("--reason", "a bad model").output
    hospital.use("mended")
    assert "2 objects queued again" in hospital.recall("--model", hospital.digest, "--score-again").output
    assert hospital.client.llen(f"rq:queue:{PRIORS}") == 1, "behind the patients of today; one wakes a worker"
    assert all(is_prior(hospital.spool, each, 0.0) for each in instances)
    assert "it waits to be scored again" in hospital.correct("--reason", "a bad model").output
    hospital.work()
    assert {tag_of(hospital.spool, each.study_instance_uid) for each in instances} == {Tag.NORMAL}
    assert hospital.told(instances[0]).deliver() == b"", "nothing is lowered on its own"
    assert set(hospital.tags()) == {instances[1].study_instance_uid}, "what was read stays read"
    assert "2 studies" in hospital.recall("--model", hospital.digest, "--score-again").output

    corrected = hospital.correct("--reason", "a bad model")
    assert corrected.output.count("  corrected\n") == 2, corrected.output
    messages = [hospital.told(each).deliver() for each in instances]
    assert all(b"|C|" in each and b"Corrected by A. Person" in each for each in messages)
    again = hospital.correct("--reason", "a bad model")
    assert again.output.count("  corrected before, by the same act\n") == 2
    assert [hospital.told(each).deliver() for each in instances] == [b"", b""]
    assert len(corrections_of(hospital.spool, instances[0].study_instance_uid)) == 1
    assert "Corrected by A. Person" in hospital.recall("--model", hospital.digest).output
    assert {"INTENT-RECALL", "RECALL", "INTENT-CORRECT", "CORRECT"} <= set(hospital.acts())


def test_what_is_not_kept_is_listed_and_withdrawn(hospital: Hospital) -> None:
    (instance,) = hospital.queued(a_chest(3))
    hospital.work()
    assert hospital.told(instance).deliver()
    hospital.spool.filed_path(instance).unlink()

    hospital.use("mended")
    output = hospital.recall("--model", hospital.digest, "--score-again").output
    assert f"not possible: {instance.key} is not kept" in output
    assert "objects queued again" not in output
    assert "  corrected\n" in hospital.correct("--reason", "a bad model").output
    record = hospital.spool.decision(instance.study_instance_uid)
    assert record is not None
    assert decision_from(record).reasons == (Reason.RECALLED,)
    assert not hospital.told(instance).deliver(), "its patient is in the image, which may be read again"
    assert b"|W|" in hospital.told(instance).deliver(GIVEN_UP_AFTER_S)
    ((_, said),) = recalled_assessments(hospital.spool, instance.study_instance_uid)
    assert assessment_from(said).tag is Tag.ABNORMAL, "what it said is not forgotten"
    assert "corrected before" in hospital.correct("--reason", "a bad model").output


def test_an_interrupted_recall_goes_on_where_it_was(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    instances = hospital.queued(*(a_chest(number) for number in range(4, 8)))
    hospital.work()
    hospital.use("mended")
    moves: list[Path] = []
    move = Spool.move

    def killed_in_the_third(self: Spool, source: Path, target: Path, *, durable: bool = True) -> None:
        moves.append(source)
        if len(moves) == 3:
            raise KeyboardInterrupt
        move(self, source, target, durable=durable)

    with monkeypatch.context() as patch:
        patch.setattr(Spool, "move", killed_in_the_third)
        interrupted = hospital.recall("--model", hospital.digest, "--score-again")
    assert interrupted.exit_code != 0
    assert sum(map(hospital.spool.waits, instances)) == 2
    assert "2 objects queued again" in hospital.recall("--model", hospital.digest, "--score-again").output
    hospital.work()
    assert {tag_of(hospital.spool, each.study_instance_uid) for each in instances} == {Tag.NORMAL}
    assert "scored again or withdrawn" in hospital.recall("--model", hospital.digest).output


def test_a_study_that_the_mended_model_raises_comes_back(hospital: Hospital) -> None:
    hospital.use("mended")
    (instance,) = hospital.queued(a_chest(9))
    hospital.work()
    mark(hospital.spool, hospital.index, instance.study_instance_uid, Marking(Act.READ, time.time(), "r", Via.PAGE))
    assert not hospital.tags()
    hospital.use("bad")
    digest = hospital.models["mended"].card.model_sha256
    assert "1 objects queued again" in hospital.recall("--model", digest, "--score-again").output
    hospital.work()
    assert hospital.tags() == {instance.study_instance_uid: (Tag.ABNORMAL, ())}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ((), "what is recalled?"),
        (("--model", "abc"), "at least 8 digits"),
        (("--study", "../etc"), "not a DICOM UID"),
        (("--study", "1.2", "--score-again", "--send-corrections"), "--score-again first"),
        (("--study", "1.2", "--send-corrections", "--by", "A"), "needs --reason"),
        (("--study", "1.2", "--send-corrections", "--reason", "x"), "needs --by"),
        (("--study", "1.2", "--send-corrections", "--by", "A", "--reason", "a\nb"), "one line"),
    ],
)
def test_what_is_not_said_is_asked_for(options: tuple[str, ...], why: str) -> None:
    result = CliRunner().invoke(triage, ["recall", *options])
    assert result.exit_code == 2
    assert why in result.output
