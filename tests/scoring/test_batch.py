"""Received files to decisions of their studies, on real ONNX sessions and a real spool; without the queue."""

from __future__ import annotations

import errno
import fcntl
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import pytest
from prometheus_client import CollectorRegistry
from pydicom import dcmread

from tests.support.model_folders import of_leading, write_model
from tests.support.redis_server import RedisServer
from tests.support.service import a_chest, receive
from triage.decision.reasons import Reason
from triage.decision.records import assessment_from
from triage.decision.types import ImageAssessment, Priority, PriorityPolicy, Tag, TriageDecision
from triage.metrics.worker import WorkerMetrics
from triage.model.activation_map import cells_of
from triage.model.card import ModelCard
from triage.model.card_finding import CalibrationFit
from triage.model.registry import RegistryPolicy
from triage.model.run_deadline import RunLimit
from triage.model.session import ModelScores, ModelSession
from triage.operations.explain import explanation
from triage.operations.retention import AgeLimits, remove_old
from triage.operations.trace import gather
from triage.queue.names import Delay
from triage.radiograph import projection
from triage.runtime.child_pool import DecodePool
from triage.runtime.decode_scheduler import DecodeScheduler
from triage.runtime.file_lock import file_lock
from triage.scoring import batch
from triage.scoring.assess import AssessmentPolicy
from triage.scoring.batch import BatchScorer, FailedInstance, OpenError, ScoringResources, open_file
from triage.scoring.decision_outputs import DecisionOutputs
from triage.scoring.decode_context import DecodeContext
from triage.scoring.finding_scores import FindingPolicy
from triage.scoring.study_decisions import DecisionRules
from triage.spool.errors import LockedError
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.worklist import reader_acts
from triage.worklist.index import IndexedWorklist
from triage.worklist.reader_acts import Act

DAY = 24 * 3600.0


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelSession]:
    """Two models: everything of an adult is normal, everything of a child is abnormal."""
    folder = tmp_path_factory.mktemp("models")
    adult = write_model(folder, "tiny-adult", bias=-10)
    child = write_model(folder, "tiny-child", age_from=1, age_below=6, bias=10)
    return {card.name: ModelSession(folder / card.name, card, threads=1) for card in (adult, child)}


def changed(file: bytes, **attributes: Any) -> bytes:
    """A DICOM file with other attributes."""
    dataset = dcmread(BytesIO(file))
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    written = BytesIO()
    dataset.save_as(written)
    return written.getvalue()


def resources(spool: Spool, sessions: dict[str, ModelSession], pool: DecodePool, **policy: Any) -> ScoringResources:
    decoders = DecodeScheduler(pool, pool.processes, 4 << 30)
    return ScoringResources(sessions, decoders, AssessmentPolicy(**policy), spool.model_switches.disabled)


class Bench:
    """A scorer and all that it wrote."""

    def __init__(
        self, spool: Spool, sessions: dict[str, ModelSession], pool: DecodePool, silent: bool = False, **policy: Any
    ) -> None:
        self.spool = spool
        self.registry = CollectorRegistry()
        self.indexed: dict[str, TriageDecision] = {}
        self.marked: list[str] = []
        self.scorer = BatchScorer(
            resources(spool, sessions, pool, **policy),
            spool,
            DecisionOutputs(WorkerMetrics(self.registry), self._index, self.marked.append),
            DecisionRules(PriorityPolicy(), silent=silent),
        )

    def score(self, *files: bytes) -> list[FailedInstance]:
        return self.work([receive(self.spool, file) for file in files])

    def work(self, instances: Sequence[ReceivedInstance]) -> list[FailedInstance]:
        return self.scorer.finish(self.scorer.start(instances))

    def only(self) -> TriageDecision:
        (decision,) = self.indexed.values()
        return decision

    def counted(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"cxr_triage_{name}", labels) or 0.0

    def _index(self, decisions: Sequence[TriageDecision]) -> None:
        self.indexed.update({each.study_instance_uid: each for each in decisions})


@pytest.fixture
def bench(spool: Spool, sessions: dict[str, ModelSession], pool: DecodePool) -> Bench:
    return Bench(spool, sessions, pool)


def test_what_the_list_needs_is_read_before_the_studies_are_locked(
    spool: Spool, sessions: dict[str, ModelSession], pool: DecodePool
) -> None:
    """A bucket may be slow, and each batch holds the locks of its studies."""
    told: list[str] = []

    def is_locked(uid: str) -> bool:
        try:
            with file_lock(spool.study_folder(uid) / ".lock", blocking=False):
                return False
        except FileNotFoundError:  # the study is new
            return False
        except BlockingIOError:
            return True

    def deciding(studies: Collection[str], new: Collection[ImageAssessment]) -> Callable[[str], None]:
        assert studies == {each.study_instance_uid for each in new} and not any(map(is_locked, studies))
        told.append("before")

        def decided(uid: str) -> None:
            assert is_locked(uid) and spool.decision(uid)
            told.append("under the lock")

        return decided

    outputs = DecisionOutputs(WorkerMetrics(CollectorRegistry()), lambda decisions: None, deciding=deciding)
    scorer = BatchScorer(resources(spool, sessions, pool), spool, outputs, DecisionRules(PriorityPolicy()))
    assert not scorer.finish(scorer.start([receive(spool, a_chest(1))]))
    assert told == ["before", "under the lock"]
    given_up = receive(spool, a_chest(2))
    assert scorer.give_up(given_up, "it fails", 3) is None
    assert told == ["before", "under the lock"] * 2


def test_a_score_is_restated_for_the_sites_prevalence_and_the_tag_is_not(tmp_path: Path, pool: DecodePool) -> None:
    card = write_model(tmp_path / "models", "tiny-adult", bias=2)
    fit = CalibrationFit(
        method="platt", slope=1, intercept=0, fitted_on="", images=100, positives=50, approximate=True,
        brier_before=0.2, brier_after=0.2,
    )  # fmt: skip
    session = ModelSession(tmp_path / "models" / card.name, of_leading(card, calibration_fit=fit), threads=1)
    bench = Bench(
        Spool.open(tmp_path / "spool"), {card.name: session}, pool, findings=FindingPolicy(prevalence={card.name: 0.02})
    )
    assert not bench.score(a_chest())
    (record,) = bench.spool.assessments(bench.only().study_instance_uid)
    found = assessment_from(record)
    assert found.tag is Tag.ABNORMAL and found.probability and found.probability > 0.5
    assert found.prevalence == 0.02 and found.calibrated_probability
    assert found.calibrated_probability < 0.5
    text = explanation(gather(found.study_instance_uid, bench.spool), time.time())
    assert "where 0.02 of the patients are abnormal" in " ".join(text.split())


def test_what_the_pixels_say_of_the_projection_is_kept_counted_and_told_and_decides_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "triage.scoring.batch")
    assert not bench.score(a_chest(2))
    plain = bench.only()
    monkeypatch.setattr(projection, "LEAST_CERTAIN", 0.0)  # whatever the pixels say contradicts
    assert not bench.score(a_chest(2, age="051Y"))
    assert bench.only().tag is plain.tag is Tag.NORMAL
    one, other = sorted(map(assessment_from, bench.spool.assessments(plain.study_instance_uid)), key=_by_time)
    assert one.ap_share == other.ap_share is not None and 0 < one.ap_share < 1
    assert (one.view_contradicted, other.view_contradicted) == (False, True)
    counted = {
        outcome: bench.counted("view_checks_total", calling_ae_title="other", outcome=outcome)
        for outcome in ("agreed", "contradicted", "not_stated")
    }
    assert counted == {"agreed": 1, "contradicted": 1, "not_stated": 0}
    (line,) = (each.getMessage() for each in caplog.records if "View Position" in each.getMessage())
    assert line.startswith(f"{plain.study_instance_uid}+") and f"stated {other.view}; the pixels look" in line


def _by_time(assessment: ImageAssessment) -> float:
    return assessment.assessed_at


def test_a_batch_of_studies_for_two_models(bench: Bench) -> None:
    files = [a_chest(number, age="003Y" if number % 2 else "050Y") for number in range(4)]
    assert bench.score(*files) == []
    tags = {decision.accession_number: decision.tag for decision in bench.indexed.values()}
    assert tags == {"A0": Tag.NORMAL, "A1": Tag.ABNORMAL, "A2": Tag.NORMAL, "A3": Tag.ABNORMAL}
    assert not list(bench.spool.waiting())
    assert bench.counted("batch_size_count") == 2


def test_a_lateral_is_listed_and_does_not_count(bench: Bench) -> None:
    assert bench.score(a_chest(), a_chest(view="LL")) == []
    decision = bench.only()
    assert decision.tag is Tag.NORMAL
    assert len(decision.evidence) == 1
    assert len(bench.spool.assessments(decision.study_instance_uid)) == 2


def test_a_late_image_changes_the_decision(bench: Bench) -> None:
    bench.score(a_chest(0, view="LL"))
    assert (bench.only().tag, bench.only().reasons) == (Tag.NOT_ASSESSED, (Reason.NO_FRONTAL_IMAGE,))
    bench.score(a_chest(0))
    assert bench.only().tag is Tag.NORMAL
    bench.score(a_chest(0, age="003Y"))
    assert (bench.only().tag, bench.only().priority) == (Tag.ABNORMAL, Priority.HIGH)
    assert [each["tag"] for each in bench.spool.history(bench.only().study_instance_uid)] == [
        "NOT_ASSESSED",
        "NORMAL",
        "ABNORMAL",
    ]


class Retention(IndexedWorklist):
    """The index of a retention that meets what is new at its worst moment: it has found the study finished."""

    def __init__(self, server: RedisServer, meanwhile: Callable[[], None]) -> None:
        super().__init__(server.client())
        self._meanwhile = meanwhile

    def remove(self, study_instance_uid: str) -> None:
        self._meanwhile()
        super().remove(study_instance_uid)


def test_what_comes_while_retention_removes_its_study_is_scored_and_counts(
    bench: Bench, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.score(a_chest(0))
    uid = bench.only().study_instance_uid
    marking = reader_acts.Marking(Act.READ, 1.0, "a", reader_acts.Via.PAGE)
    reader_acts.mark(bench.spool, IndexedWorklist(redis_server.client()), uid, marking)
    new = [a_chest(0, view="LL"), a_chest(0, age="003Y")]
    failed: list[FailedInstance] = []
    working = threading.Thread(target=lambda: failed.extend(bench.score(*new)))
    asked = threading.Event()
    locked = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        if threading.current_thread() is working:
            asked.set()
        locked(descriptor, operation)

    def until_the_worker_needs_the_study() -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        working.start()
        assert asked.wait(60)

    retention = Retention(redis_server, until_the_worker_needs_the_study)
    assert remove_old(bench.spool, retention, AgeLimits(time.time() + 10 * DAY, 1.0)) == (1, 0)
    working.join(60)
    assert failed == []
    assert {each["age_years"] for each in bench.spool.assessments(uid)} == {50.0, 3.0}
    assert bench.only().tag is Tag.ABNORMAL
    assert not list(bench.spool.waiting())


def test_the_same_object_worked_on_twice_is_one_result(bench: Bench) -> None:
    instance = receive(bench.spool, a_chest())
    first, second = bench.scorer.start([instance]), bench.scorer.start([instance])
    assert bench.scorer.finish(first) == []
    before = bench.only()
    assert bench.scorer.finish(second) == []
    assert receive(bench.spool, a_chest()) == instance
    assert bench.work([instance]) == []
    assert len(bench.spool.assessments(instance.study_instance_uid)) == 1
    assert bench.only().revision == before.revision
    assert bench.spool.find(instance) == bench.spool.filed_path(instance)


def test_other_bytes_under_one_uid_are_kept_beside_and_never_lower(bench: Bench) -> None:
    sick = a_chest(0, age="003Y")
    well = sick.replace(b"003Y", b"050Y")
    assert bench.score(sick) == []
    assert bench.only().tag is Tag.ABNORMAL
    assert bench.score(well) == []
    decision = bench.only()
    assert decision.tag is Tag.ABNORMAL
    folder = bench.spool.study_folder(decision.study_instance_uid)
    assert len(list(folder.glob("*.dcm"))) == len(bench.spool.assessments(decision.study_instance_uid)) == 2
    assert len({path.name.split("+")[0] for path in folder.glob("*.dcm")}) == 1


def test_a_model_in_shadow_scores_and_changes_nothing(
    spool: Spool, sessions: dict[str, ModelSession], pool: DecodePool
) -> None:
    bench = Bench(spool, sessions, pool, registry=RegistryPolicy(shadow=frozenset({"tiny-child"})))
    bench.score(a_chest(0, age="003Y"))
    decision = bench.only()
    assert (decision.tag, decision.priority) == (Tag.NOT_ASSESSED, Priority.MEDIUM)
    assert decision.reasons == (Reason.MODEL_SHADOW,)
    (assessment,) = spool.assessments(decision.study_instance_uid)
    assert (assessment["tag"], assessment["shadow"]) == ("ABNORMAL", True)
    assert assessment["probability"] > 0.99


def test_the_kill_switch_holds_for_what_is_already_decoded(bench: Bench) -> None:
    instance = receive(bench.spool, a_chest())
    started = bench.scorer.start([instance])
    started[0][1].result()
    bench.spool.model_switches.set_disabled("tiny-adult", True)
    assert bench.scorer.finish(started) == []
    assert (bench.only().tag, bench.only().reasons) == (Tag.NOT_ASSESSED, (Reason.MODEL_DISABLED,))
    assert bench.only().probability is None

    bench.score(a_chest(1))
    bench.spool.model_switches.set_disabled("tiny-adult", False)
    bench.score(a_chest(2))
    assert [each.tag for each in bench.indexed.values()].count(Tag.NORMAL) == 1


class Touchy:
    """A session that fails whenever an image as bright as ``limit`` is in the batch."""

    limit = math.inf

    def __init__(self, session: ModelSession) -> None:
        self.card = session.card
        self.provider = session.provider
        self.keeps_maps = session.keeps_maps
        self._session = session

    def score(self, batch: Any) -> ModelScores:
        if (batch.mean(axis=(1, 2, 3)) >= self.limit).any():
            raise RuntimeError("the accelerator fell over")
        return self._session.score(batch)


def test_an_image_that_fails_in_the_session_fails_alone(
    spool: Spool, sessions: dict[str, ModelSession], pool: DecodePool
) -> None:
    touchy = Touchy(sessions["tiny-adult"])
    bench = Bench(spool, {"tiny-adult": touchy}, pool)  # type: ignore[dict-item]
    instances = [receive(bench.spool, a_chest(number)) for number in range(5)]
    started = bench.scorer.start(instances)
    means = [float(decoding.result().prepared.model_input.mean()) for _, decoding in started]
    touchy.limit = max(means)

    (failed,) = bench.scorer.finish(started)
    assert failed.instance == instances[means.index(max(means))]
    assert "fell over" in failed.error
    assert list(bench.spool.waiting()) == [failed.instance]
    assert len(bench.indexed) == 4


def test_what_a_model_never_ends_with_is_given_up_at_once_and_the_rest_is_scored(
    spool: Spool, pool: DecodePool, tmp_path: Path
) -> None:
    adult = write_model(tmp_path, "tiny-adult", bias=-10)
    child = write_model(tmp_path, "tiny-child", age_from=1, age_below=6, endless_above=-99.0)
    sessions = {
        card.name: ModelSession(tmp_path / card.name, card, threads=1, limit=RunLimit(0.3)) for card in (adult, child)
    }
    bench = Bench(spool, sessions, pool)
    assert bench.score(*[a_chest(number, age="003Y" if number % 2 else "050Y") for number in range(4)]) == []
    found = {each.accession_number: (each.tag, each.reasons) for each in bench.indexed.values()}
    hung = (Tag.NOT_ASSESSED, (Reason.WORKER_FAILURE,))
    assert found == {"A0": (Tag.NORMAL, ()), "A1": hung, "A2": (Tag.NORMAL, ()), "A3": hung}
    dead = dict(spool.dead_letters())
    assert len(dead) == 2
    assert not list(spool.waiting())
    assert all("the model tiny-child did not end within 0.3 s" in str(why) for why in dead.values())


def test_a_model_in_shadow_that_never_ends_costs_nobody(spool: Spool, pool: DecodePool, tmp_path: Path) -> None:
    serving = write_model(tmp_path, "tiny-adult", bias=-10)
    trial = write_model(tmp_path, "trial", endless_above=-99.0)
    sessions = {
        card.name: ModelSession(tmp_path / card.name, card, threads=1, limit=RunLimit(0.3)) for card in (serving, trial)
    }
    bench = Bench(spool, sessions, pool, registry=RegistryPolicy(shadow=frozenset({"trial"})))
    assert bench.score(a_chest(1, age="050Y")) == []
    assert bench.only().tag is Tag.NORMAL


def test_what_a_library_says_of_a_patient_is_not_passed_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    instance = receive(bench.spool, a_chest())
    monkeypatch.setattr("triage.scoring.batch.open_file", quote_the_patient)
    (failed,) = bench.work([instance])
    assert "ValueError" in failed.error
    assert "PHANTOM" not in failed.error
    bench.scorer.give_up(instance, failed.error, 3)
    assert bench.only().reasons == (Reason.WORKER_FAILURE,)
    note = (bench.spool.dead / f"{instance.key}.json").read_text()
    assert "PHANTOM" not in note + caplog.text


def quote_the_patient(path: Path, *arguments: Any) -> Any:
    """Call open_file with a decoder that quotes the data set, as its child process does."""

    def prepare(*_: Any, **__: Any) -> Any:
        raise ValueError("PHANTOM^CHEST is no pixel")

    with patch("triage.scoring.batch.prepare", prepare):
        return open_file(path, *arguments)


@pytest.mark.parametrize("place", ["triage.scoring.assess.preprocess", "triage.radiograph.decode.stored_values"])
def test_opencv_s_want_of_memory_is_said_wherever_it_happens(
    bench: Bench, sessions: dict[str, ModelSession], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def starve(*_: Any, **__: Any) -> None:
        error = cv2.error("OpenCV: Failed to allocate 23321856 bytes")
        error.code = cv2.Error.StsNoMem
        raise error

    instance = receive(bench.spool, a_chest())
    cards = {name: session.card for name, session in sessions.items()}
    monkeypatch.setattr(place, starve)
    with pytest.raises(OpenError, match="more memory than one image may"):
        context = DecodeContext.of(cards, AssessmentPolicy())
        open_file(bench.spool.waiting_object(instance), context, instance.content_digest)


def test_the_receipt_comes_with_the_bytes_and_is_not_lost_to_a_second_read(
    bench: Bench, sessions: dict[str, ModelSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = receive(bench.spool, a_chest())
    stored = bench.spool.waiting_object(instance)
    monkeypatch.setattr(type(stored), "open", lambda *_: pytest.fail("a second read"))
    monkeypatch.setattr(type(stored), "read_bytes", lambda _: bench.spool.inbox_path(instance).read_bytes())
    cards = {name: session.card for name, session in sessions.items()}
    opened = open_file(stored, DecodeContext.of(cards, AssessmentPolicy()), instance.content_digest)
    assert opened.receipt.calling_ae_title == "TEST" and opened.receipt.received_at


@pytest.mark.parametrize("place", [-1, -1000, 140])
def test_bytes_that_are_not_those_received_are_never_scored(bench: Bench, place: int) -> None:
    """A pixel, or the length of the File Meta Information, that a disk or a bucket altered."""
    instance = receive(bench.spool, a_chest())
    path = bench.spool.inbox_path(instance)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    long_ago = time.time() - 3600  # what came just now is not compared: it was never read from the disk
    os.utime(path, (long_ago, long_ago))
    (failed,) = bench.work([instance])
    assert not bench.indexed
    bench.scorer.give_up(instance, failed.error, 3)
    assert bench.only().tag is Tag.NOT_ASSESSED and bench.only().reasons == (Reason.WORKER_FAILURE,)


def test_records_that_cannot_be_read_cost_their_own_study_only(bench: Bench) -> None:
    bench.score(a_chest(0))
    study = bench.only().study_instance_uid
    (record,) = bench.spool.study_folder(study).glob("*+*.json")
    record.write_text('{"tag": "SOMETHING_NEW"}')
    late, other = receive(bench.spool, a_chest(0, view="LL")), receive(bench.spool, a_chest(1))
    (failed,) = bench.work([late, other])
    assert failed.instance == late
    assert list(bench.spool.waiting()) == [late]
    assert len(bench.indexed) == 2
    undecided = bench.scorer.give_up(late, failed.error, 3)
    assert undecided is not None and "the study's records cannot be read" in undecided.error
    assert not list(bench.spool.dead_letters()) and list(bench.spool.waiting()) == [late]


def test_a_full_disk_is_no_object_s_fault(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = receive(bench.spool, a_chest())

    def no_space(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(Spool, "_write", no_space)
        with pytest.raises(OSError, match="No space"):
            bench.work([instance])
    assert list(bench.spool.waiting()) == [instance]
    assert bench.work([instance]) == []


def test_giving_up_what_another_worker_has_done_changes_nothing(bench: Bench) -> None:
    instance = receive(bench.spool, a_chest())
    bench.work([instance])
    bench.scorer.give_up(instance, "it died", 3)
    assert bench.only().tag is Tag.NORMAL
    assert not list(bench.spool.dead_letters())


def test_what_one_model_found_is_recorded_at_once_and_the_other_model_is_tried_again(
    spool: Spool, pool: DecodePool, tmp_path: Path
) -> None:
    chest = write_model(tmp_path, "chest", bias=10, findings=[{"name": "abnormal"}])
    lump = write_model(tmp_path, "lump", findings=[{"name": "mass"}])
    sessions = {"chest": ModelSession(tmp_path / "chest", chest, threads=1), "lump": BrokenSession(lump)}
    bench = Bench(spool, sessions, pool)  # type: ignore[arg-type]
    instance = receive(spool, a_chest())
    (failed,) = bench.work([instance])
    assert "out of order" in failed.error and spool.waits(instance)
    assert bench.only().tag is Tag.ABNORMAL

    bench.scorer.give_up(instance, failed.error, 3)
    decision = bench.only()
    assert (decision.tag, decision.priority) == (Tag.ABNORMAL, Priority.HIGH)
    (record,) = spool.assessments(instance.study_instance_uid)
    results = {each.model_id: each for each in assessment_from(record).results}
    assert results["lump 1"].reasons == (Reason.WORKER_FAILURE,) and results["chest 1"].tag is Tag.ABNORMAL
    assert [note["tries"] for _, note in spool.dead_letters()] == [3]


@pytest.mark.parametrize("endless", [False, True])
def test_what_one_model_found_is_not_lost_while_another_process_holds_the_study(
    spool: Spool, pool: DecodePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endless: bool
) -> None:
    chest = write_model(tmp_path, "chest", bias=10, findings=[{"name": "abnormal"}])
    lump = write_model(tmp_path, "lump", findings=[{"name": "mass"}], endless_above=-99.0)
    never = ModelSession(tmp_path / "lump", lump, threads=1, limit=RunLimit(0.3))
    sessions = {"chest": ModelSession(tmp_path / "chest", chest, threads=1), "lump": BrokenSession(lump)}
    bench = Bench(spool, {**sessions, "lump": never} if endless else sessions, pool)  # type: ignore[arg-type, dict-item]
    instance = receive(spool, a_chest())
    write, locks = Spool.write_assessment, iter([LockedError(errno.EAGAIN, "another process holds it")])

    def write_unless_locked(*arguments: Any) -> None:
        if (locked := next(locks, None)) is not None:
            raise locked
        write(*arguments)

    monkeypatch.setattr(Spool, "write_assessment", write_unless_locked)
    (failed,) = bench.work([instance])
    assert failed.delay is Delay.LOCKED and spool.waits(instance) and not list(spool.dead_letters())
    bench.work([instance])
    assert bench.only().tag is Tag.ABNORMAL


class BrokenSession:
    """A model whose runs fail."""

    provider = "none"
    keeps_maps = False

    def __init__(self, card: ModelCard) -> None:
        self.card = card

    def score(self, batch: object) -> ModelScores:
        raise RuntimeError("out of order")


def test_the_map_of_the_very_run_is_kept_beside_its_score(spool: Spool, pool: DecodePool, tmp_path: Path) -> None:
    with_map = write_model(tmp_path, "tiny-adult", bias=-1.0, cam=True)
    without = write_model(tmp_path, "tiny-child", age_from=1, age_below=6)
    sessions = {
        each.name: ModelSession(tmp_path / each.name, each, threads=1, maps=True) for each in (with_map, without)
    }
    files = [a_chest(0), a_chest(1), a_chest(2, age="003Y"), a_chest(3, view="LL")]
    assert Bench(spool, sessions, pool).score(*files) == []

    adults = 0
    for record in (each for uid in spool.study_uids() for each in spool.assessments(uid)):
        assessment = assessment_from(record)
        if assessment.activation_map is None:
            expected = "tiny-child 1 has no activation map" if assessment.probability is not None else ""
            assert assessment.no_map == expected
            continue
        adults += 1
        logit = float(cells_of(assessment.activation_map).mean()) - 1.0
        assert assessment.model_digest == with_map.model_sha256
        assert assessment.probability == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-6)
    assert adults == 2


def test_where_nobody_shows_maps_none_is_kept(bench: Bench) -> None:
    bench.score(a_chest(0))
    (record,) = bench.spool.assessments(bench.only().study_instance_uid)

    assert record["probability"] is not None
    assert (record["activation_map"], record["no_map"]) == (None, "")


def test_a_decision_made_by_a_clock_ahead_does_not_keep_a_later_one_off_the_list(
    bench: Bench, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = IndexedWorklist(redis_server.client())
    with monkeypatch.context() as ahead:
        ahead.setattr(batch.time, "time", lambda: time.time_ns() / 1e9 + DAY)
        bench.score(a_chest(0))
        index.put(bench.only())
    assert bench.only().tag is Tag.NORMAL
    bench.score(a_chest(0, age="003Y"))
    index.put(bench.only())
    (listed,) = index.page(None, 10, time.time()).entries
    assert (listed.tag, listed.sequence) == (Tag.ABNORMAL, 2)


def test_the_number_of_decisions_outlives_a_lost_record(bench: Bench) -> None:
    bench.score(a_chest(0))
    bench.score(a_chest(0, view="LL"))
    study = bench.only().study_instance_uid
    (bench.spool.study_folder(study) / "decision.json").write_text('{"cut":')
    bench.score(a_chest(0, age="003Y"))
    assert bench.only().sequence == 3


def test_while_the_clock_is_in_doubt_no_study_is_one_that_nobody_waits_for(
    spool: Spool, sessions: dict[str, ModelSession], pool: DecodePool
) -> None:
    doubt = [True]
    indexed: list[TriageDecision] = []
    rules = DecisionRules(PriorityPolicy(prior_after_days=1.0), clock_in_doubt=lambda: doubt[0])
    outputs = DecisionOutputs(WorkerMetrics(CollectorRegistry()), indexed.extend)
    scorer = BatchScorer(resources(spool, sessions, pool), spool, outputs, rules)
    for in_doubt in (True, False):
        doubt[0] = in_doubt
        dates = dict.fromkeys(("AcquisitionDate", "ContentDate", "SeriesDate", "StudyDate"), "20200101")
        scorer.finish(scorer.start([receive(spool, changed(a_chest(int(in_doubt), age="003Y"), **dates))]))
    assert [(each.prior, each.priority) for each in indexed] == [(False, Priority.HIGH), (True, Priority.MEDIUM)]


def test_images_of_two_patients_in_one_study_are_never_normal(bench: Bench) -> None:
    bench.score(a_chest(0))
    assert bench.only().tag is Tag.NORMAL
    bench.score(changed(a_chest(0, view="LL"), PatientID="ANOTHER"))
    assert (bench.only().tag, bench.only().reasons) == (Tag.NOT_ASSESSED, (Reason.PATIENT_MISMATCH,))
    assert bench.counted("study_reasons_total", reason="patient_mismatch") == 1
    bench.score(a_chest(0, age="003Y"))
    assert (bench.only().tag, bench.only().reasons) == (Tag.ABNORMAL, (Reason.PATIENT_MISMATCH,))


def test_in_a_spool_of_files_an_object_came_when_its_receipt_says(bench: Bench, spool: Spool) -> None:
    at = time.time() - 40.0
    instance = receive(spool, a_chest(0), received_at=at)
    assert bench.work([instance]) == []
    assert bench.only().received_at == pytest.approx(at, abs=1e-3)
