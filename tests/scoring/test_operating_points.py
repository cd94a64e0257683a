"""Operating points of a site, from the file to what is listed, delivered, explained and logged."""

from __future__ import annotations

import json
import logging
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry

import triage as api
from tests.delivery.test_deliverer import a_deliverer
from tests.scoring.test_batch import Bench, changed
from tests.support.model_folders import write_model
from tests.support.points import AT, a_point, write_file
from tests.support.ports import free_port
from tests.support.service import a_chest, receive
from triage.cli import triage
from triage.decision.operating_points import ImageFacts
from triage.decision.records import assessment_from
from triage.decision.types import PriorityPolicy, Tag
from triage.delivery.outbox import Outbox
from triage.errors import StartError
from triage.metrics.worker import WorkerMetrics
from triage.model.card import ModelCard
from triage.model.points_file import PointsFile, read_points
from triage.model.session import ModelSession
from triage.operations.explain import explanation
from triage.operations.trace import gather
from triage.runtime.child_pool import DecodePool
from triage.scoring.finding_scores import FindingPolicy
from triage.scoring.study_decisions import DecisionRules, StudyDecider, StudyErrors
from triage.service.check.finding import Level
from triage.service.check.models import check_models
from triage.service.models import load_sessions, policy_of
from triage.service.operating_points import export_points, watched_points
from triage.settings.load import load
from triage.settings.schema import Settings
from triage.spool.spool import Spool

# pynetdicom leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

DAY = 24 * 3600.0


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "tiny-adult")
    return folder


@pytest.fixture(scope="module")
def card(models: Path) -> ModelCard:
    return api.load_models(models / "tiny-adult", threads=1).cards["tiny-adult"]


def points_file(folder: Path, card: ModelCard, **thresholds: float) -> Path:
    points = [a_point(name, threshold=each, model_sha256=card.model_sha256) for name, each in thresholds.items()]
    return write_file(folder / "points.json", *points)


def settings(tmp_path: Path, models: Path, points: Path) -> Settings:
    values = {"MODELS_PATH": models, "SPOOL_PATH": tmp_path / "spool", "MODELS_OPERATING_POINTS": points}
    return load(None, {f"TRIAGE_{name}": str(value) for name, value in values.items()})


def bench(spool: Spool, models: Path, card: ModelCard, pool: DecodePool, file: PointsFile) -> Bench:
    session = ModelSession(models / card.name, card, threads=1)
    watched = watched_points(file, time.time())
    return Bench(spool, {card.name: session}, pool, findings=FindingPolicy(points=watched))


def test_a_changed_point_alone_lists_and_delivers_nothing_anew(
    tmp_path: Path, spool: Spool, models: Path, card: ModelCard, pool: DecodePool
) -> None:
    before = bench(spool, models, card, pool, read_points(points_file(tmp_path, card, high=0.99)))
    assert before.score(a_chest(1)) == []
    first = before.only()
    uid = first.study_instance_uid
    deliverer = a_deliverer(spool, free_port())
    Outbox(spool).mark(uid, "pacs")
    deliverer.round()
    assert (first.tag, first.findings[0].point, first.findings[0].threshold) == (Tag.NORMAL, "high", 0.99)
    assert len(Outbox(spool).records(uid)) == 1

    lowered = read_points(points_file(tmp_path, card, low=0.01))
    after = bench(spool, models, card, pool, lowered)
    assert after.work([receive(spool, a_chest(1))]) == [] and after.indexed == {}  # the same bytes once more
    rules, errors = DecisionRules(PriorityPolicy()), StudyErrors(spool)
    again = StudyDecider(spool, rules, lambda study: Outbox(spool).mark(study, "pacs")).decide_all({uid}, errors)[uid]
    assert (again.tag, again.revision, again.priority, again.findings) == (
        first.tag, first.revision, first.priority, first.findings,
    )  # fmt: skip
    deliverer.round()
    assert len(Outbox(spool).records(uid)) == 1
    assert after.score(a_chest(1, view="LL")) == []  # an image that does not count decides the study anew
    assert (after.only().tag, after.only().findings[0].point) == (Tag.NORMAL, "high")
    text = explanation(gather(uid, spool), time.time(), points=lowered)
    assert "positive from 0.99, point high" in text and "no longer in models.operating_points" in text

    assert after.score(a_chest(2)) == []
    (other,) = (each for name, each in after.indexed.items() if name != uid)
    assert (other.tag, other.findings[0].point) == (Tag.ABNORMAL, "low")


def test_explain_shows_threshold_name_stratum_expiry_and_provenance(
    tmp_path: Path, spool: Spool, models: Path, card: ModelCard, pool: DecodePool
) -> None:
    now = datetime.now(UTC)
    path = write_file(
        tmp_path / "points.json",
        a_point(
            "room", at=now, days=90, stratum={"view": "PA", "station": "XR1"}, reason="an old detector",
            model_sha256=card.model_sha256,
        ),
    )  # fmt: skip
    scored = bench(spool, models, card, pool, read_points(path))
    assert scored.score(changed(a_chest(1), StationName="xr1")) == []
    trace = gather(scored.only().study_instance_uid, spool)
    text = explanation(trace, time.time(), UTC, read_points(path))
    for part in (
        "positive from 0.3, point room",
        "for view PA, station XR1; reason: an old detector",
        f"chosen {now:%Y-%m-%d %H:%M:%S} UTC by N. N.: sensitivity_lower>=0.95",
        "chosen on (figures flatter it): ours.csv (SHA-256 aaaaaaaaaaaaaaaa), 300 studies of 300 patients",
        "sensitivity 0.980 (0.950 to 0.990)",
    ):
        assert part in text
    assert "EXPIRED" not in text
    assert "EXPIRED" in explanation(trace, time.time() + 91 * DAY, UTC, read_points(path))


def test_an_expired_point_is_logged_once_before_and_once_after_and_exported(
    tmp_path: Path, card: ModelCard, caplog: pytest.LogCaptureFixture
) -> None:
    start = AT.timestamp()
    ours = {"model_sha256": card.model_sha256}
    path = write_file(
        tmp_path / "points.json",
        a_point("site", threshold=0.4, **ours),
        a_point("room", threshold=0.2, stratum={"station": "XR1"}, reason="x", days=90, **ours),
    )
    caplog.set_level(logging.WARNING)
    points = watched_points(read_points(path), start)
    room = ImageFacts("PA", 50.0, "XR1")

    def in_force(at: float) -> str:
        found = points.point_for(card.model_sha256, "abnormal", room, at)
        return found.name if found else ""

    assert in_force(start + 75 * DAY) == "room" and caplog.messages == []
    assert [in_force(start + days * DAY) for days in (77, 78, 89.9)] == ["room"] * 3
    assert len(caplog.messages) == 1 and "room of abnormal expires at" in caplog.messages[0]
    assert [in_force(start + days * DAY) for days in (90, 91)] == ["site"] * 2
    assert len(caplog.messages) == 2 and "room of abnormal expired at" in caplog.messages[1]
    registry = CollectorRegistry()
    export_points(WorkerMetrics(registry), [card], points)
    labels = {"model": "tiny-adult", "finding": "abnormal", "point": "room"}
    name = "cxr_triage_operating_point_expires_timestamp_seconds"
    assert registry.get_sample_value(name, labels) == start + 90 * DAY


def test_a_point_chosen_in_the_future_is_not_in_force(
    tmp_path: Path, card: ModelCard, caplog: pytest.LogCaptureFixture
) -> None:
    path = points_file(tmp_path, card, site=0.4)
    assert watched_points(read_points(path), AT.timestamp() - 2 * DAY).points == ()
    assert "is in the future" in caplog.text


def test_a_file_that_does_not_hold_ends_the_start(tmp_path: Path, models: Path, card: ModelCard) -> None:
    stranger = write_file(tmp_path / "points.json", a_point("site"))
    with pytest.raises(StartError, match="which is not loaded"):
        load_sessions(settings(tmp_path, models, stranger))
    with pytest.raises(StartError, match="cannot be read"):
        policy_of(settings(tmp_path, models, tmp_path / "nowhere.json"), {card.name: card})
    (told, *_) = check_models(settings(tmp_path, models, stranger))
    assert told.level is Level.FAILED and "which is not loaded" in told.finding
    good = settings(tmp_path, models, points_file(tmp_path, card, site=0.25))
    found = policy_of(good, {card.name: card})
    assert [each.threshold for each in found.findings.points.points] == [0.25]
    assert "1 in force" in [each.finding for each in check_models(good)]


def test_points_of_an_installed_model_that_is_not_loaded_wait(tmp_path: Path, models: Path, card: ModelCard) -> None:
    folder = tmp_path / "models"
    ours, other = write_model(folder, "tiny-adult"), write_model(folder, "tiny-other", bias=1.0)
    path = write_file(
        tmp_path / "points.json",
        a_point("in force", model_sha256=ours.model_sha256),
        a_point("waits", model_sha256=other.model_sha256),
    )
    both = settings(tmp_path, folder, path)
    found = policy_of(both, {ours.name: ours})
    assert [each.name for each in found.findings.points.points] == ["in force"]
    only = write_file(tmp_path / "other.json", a_point("in force", model_sha256=card.model_sha256), a_point("nowhere"))
    with pytest.raises(StartError, match="nowhere is of a model"):
        policy_of(settings(tmp_path, models, only), {card.name: card})


def test_predict_and_the_api_judge_by_the_file(tmp_path: Path, models: Path, card: ModelCard) -> None:
    image = tmp_path / "chest.dcm"
    image.write_bytes(a_chest(1))
    for name, threshold, tag in (("high", 0.99, Tag.NORMAL), ("low", 0.01, Tag.ABNORMAL)):
        path = points_file(tmp_path, card, **{name: threshold})
        environment: dict[str, Any] = {
            "TRIAGE_MODELS_PATH": str(models), "TRIAGE_MODELS_OPERATING_POINTS": str(path),
            "TRIAGE_WORKER_THREADS": "1", "TRIAGE_WORKER_DECODE_PROCESSES": "1",
            "TRIAGE_SPOOL_PATH": str(tmp_path / "spool"),
        }  # fmt: skip
        done = CliRunner().invoke(triage, ["predict", str(image)], env=environment, catch_exceptions=False)
        (finding,) = json.loads(done.output)["findings"]
        assert (json.loads(done.output)["tag"], finding["point"], finding["threshold"]) == (tag, name, threshold)
        result = api.load_models(models / "tiny-adult", operating_point=path, threads=1).score(image)
        assert (result.tag, result.findings[0].point, result.operating_point) == (tag, name, threshold)
    stranger = write_file(tmp_path / "points.json", a_point("site"))
    with pytest.raises(StartError, match=r"points\.json has none of tiny-adult"):
        api.load_models(models / "tiny-adult", operating_point=str(stranger), threads=1)


def test_a_record_keeps_the_point_that_it_was_judged_by(
    tmp_path: Path, spool: Spool, models: Path, card: ModelCard, pool: DecodePool
) -> None:
    scored = bench(spool, models, card, pool, read_points(points_file(tmp_path, card, high=0.99)))
    assert scored.score(a_chest(1)) == []
    (record,) = spool.assessments(scored.only().study_instance_uid)
    image = assessment_from(json.loads(json.dumps(record)))
    assert [(each.point, each.threshold) for each in image.findings] == [("high", 0.99)]
    assert image.operating_point == 0.99
