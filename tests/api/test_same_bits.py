"""What ``import triage`` says of an image is what the service and ``triage predict`` say, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import triage
from tests.api.conftest import ROOT
from tests.support.in_process_worker import Workplace
from tests.support.real_radiographs import adults, real_chests
from tests.support.redis_server import RedisServer
from triage.decision.records import assessment_from
from triage.decision.types import ImageAssessment
from triage.model.card import load_cards
from triage.model.session import ModelSession
from triage.phantom.chest import BITS, PhantomSubject, as_dicom, draw
from triage.phantom.samples import write_phantoms
from triage.runtime.child_pool import DecodePool
from triage.scoring.assess import AssessmentPolicy
from triage.scoring.predict import Compute, LoadedModels, predict
from triage.spool.spool import Spool

MODELS = ROOT / "models"
ALIKE = {each.name for each in fields(triage.ImageScore)} & {each.name for each in fields(ImageAssessment)}
WHOLE = triage.Asserted("PA", 50, "CHEST", "MONOCHROME2", BITS)


@pytest.fixture(scope="module")
def scorer() -> triage.ImageScorer:
    return triage.load_models(MODELS / "rsna-adult", MODELS / "wcmc-pediatric", threads=1)


@pytest.fixture(scope="module")
def sessions() -> dict[str, ModelSession]:
    cards = load_cards(MODELS)
    return {name: ModelSession(MODELS / name, card, threads=1, maps=True) for name, card in cards.items()}


@pytest.fixture
def workplace(
    spool: Spool, redis_server: RedisServer, sessions: dict[str, ModelSession], pool: DecodePool
) -> Workplace:
    return Workplace(spool, redis_server, sessions, pool)


def assessed(workplace: Workplace, files: Sequence[Path]) -> Iterator[ImageAssessment]:
    """What the service kept of each file."""
    received = workplace.queued(*(file.read_bytes() for file in files))
    workplace.work()
    for instance in received:
        kept = map(assessment_from, workplace.spool.assessments(instance.study_instance_uid))
        yield next(each for each in kept if each.sop_instance_uid == instance.sop_instance_uid)


def values(result: Any) -> dict[str, Any]:
    """What service and face both know, but for words of refusals that the service adds."""
    return {name: getattr(result, name) for name in ALIKE} | {"tag": str(result.tag), "view": str(result.view)}


def test_there_is_enough_to_compare() -> None:
    assert {"tag", "probability", "reasons", "distance", "activation_map", "detail", "model_digest", "view"} <= ALIKE


def check_as_the_service(workplace: Workplace, scorer: triage.ImageScorer, files: Sequence[Path]) -> list[str]:
    tags = []
    for file, kept in zip(files, assessed(workplace, files), strict=True):
        result = scorer.score(file)
        known, expected = values(result), values(kept)
        if kept.probability is None:  # the service keeps no threshold, and no reason why there is no map
            known, expected = ({**each, "operating_point": None, "no_map": ""} for each in (known, expected))
        assert known == expected, file.name
        tags.append(str(result.tag))
    return tags


def test_phantoms_score_as_in_the_service_and_in_predict(
    workplace: Workplace, scorer: triage.ImageScorer, tmp_path: Path
) -> None:
    files = [sample.path for sample in write_phantoms(tmp_path / "samples")]
    assert set(check_as_the_service(workplace, scorer, files)) == {"NORMAL", "NOT_ASSESSED"}
    records = predict(files, LoadedModels.installed(MODELS), AssessmentPolicy(), Compute(threads=1, decode_processes=1))
    for file, record in zip(files, records, strict=True):
        result = scorer.score(file)
        found = {**values(result), "reasons": list(result.reasons)}
        assert {name: found[name] for name in ALIKE & record.keys()} == {
            name: record[name] for name in ALIKE & record.keys()
        }
        assert result.study_instance_uid == record["study_instance_uid"]


def test_an_array_scores_as_the_dicom_file_that_holds_it(scorer: triage.ImageScorer) -> None:
    pixels = draw(2, opacity=True)
    said_by_itself = scorer.score(as_dicom(pixels, PhantomSubject(age="050Y")))
    asserted = scorer.score(pixels, WHOLE)
    assert said_by_itself.tag == "NORMAL"
    assert said_by_itself.activation_map
    assert asserted.activation_map == said_by_itself.activation_map
    assert values(asserted) == values(said_by_itself) | {"study_instance_uid": "", "sop_instance_uid": ""}


def test_real_radiographs_score_as_in_the_service(
    workplace: Workplace, scorer: triage.ImageScorer, triage_data: Path, tmp_path: Path
) -> None:
    """DICOM files, and pictures: in the service wrapped by ``triage send``, here as they are."""
    sent = [each.path for each in real_chests(triage_data, tmp_path)]
    tags = check_as_the_service(workplace, scorer, sent)
    assert {"NORMAL", "ABNORMAL"} <= set(tags)
    for row in adults(triage_data, 4):
        wrapped = next(path for path in sent if path.stem.startswith(row["path"].stem))
        by_service = scorer.score(wrapped)
        here = scorer.score(row["path"], triage.Asserted(row["view"], row["age"], "CHEST"))
        assert (here.probability, here.distance, here.tag) == (
            by_service.probability, by_service.distance, by_service.tag,
        )  # fmt: skip
        assert here.activation_map == by_service.activation_map
