"""Scoring files without a service."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.inference_server import InferenceServer, brightness, images_of, inference_server
from tests.support.model_folders import write_model, write_remote_model
from triage.decision.reasons import Reason
from triage.model.card import ModelRefusedError
from triage.model.registry import RegistryPolicy
from triage.model.remote_folder import RemoteAccess
from triage.model.remote_session import CheckTimes
from triage.model.session import ModelSession
from triage.phantom.chest import PhantomSubject, as_dicom, draw
from triage.radiograph.types import Attributes, Part, View
from triage.runtime.child_pool import MOST_MEMORY
from triage.scoring.assess import AssessmentPolicy, PreparedImage, prepare
from triage.scoring.conclude import conclude
from triage.scoring.predict import Compute, Decoder, LoadedModels, predict

QUICK = Compute(threads=1, decode_processes=1)
NO_PATIENCE = CheckTimes(patience_s=0.0)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "tiny-adult")
    write_model(folder, "tiny-child", age_from=1, age_below=6, bias=10, negative_is_normal=False)
    return folder


@pytest.fixture(scope="module")
def chest() -> np.ndarray[Any, Any]:
    return draw(1, rows=256, columns=240)


def scored(files: list[Path], models: LoadedModels, policy: AssessmentPolicy | None = None) -> list[dict[str, Any]]:
    records = list(predict(files, models, policy or AssessmentPolicy(), QUICK))
    for record in records:
        json.dumps(record, allow_nan=False)
    return records


def a_file(folder: Path, chest: np.ndarray[Any, Any], name: str = "chest.dcm", **subject: Any) -> Path:
    path = folder / name
    path.write_bytes(as_dicom(chest, PhantomSubject(**subject)))
    return path


def a_picture(folder: Path, chest: np.ndarray[Any, Any], name: str = "chest.png") -> Path:
    path = folder / name
    assert cv2.imwrite(str(path), chest << 4)
    return path


def test_one_record_a_file_in_the_order_given(tmp_path: Path, models: Path, chest: np.ndarray[Any, Any]) -> None:
    adult = a_file(tmp_path, chest, "adult.dcm", age="050Y")
    child = a_file(tmp_path, chest, "child.dcm", age="003Y")
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(adult.read_bytes()[:900])
    missing = tmp_path / "missing.png"
    files = [child, missing, adult, broken, tmp_path, *[adult] * 20, child]
    records = scored(files, LoadedModels.installed(models))
    assert [record["file"] for record in records] == [str(path) for path in files]
    assert [record["model_id"] for record in records[:5]] == ["tiny-child 1", None, "tiny-adult 1", None, None]
    assert records[0]["tag"] == "ABNORMAL"
    assert all(record["probability"] == records[2]["probability"] for record in records[5:25])
    for record in (records[1], records[3], records[4]):
        assert (record["tag"], record["probability"], record["reasons"]) == ("NOT_ASSESSED", None, ["undecodable"])
        assert record["detail"]


def test_a_score_is_the_service_s_to_the_bit(tmp_path: Path, models: Path, chest: np.ndarray[Any, Any]) -> None:
    path = a_file(tmp_path, chest, age="050Y")
    installed = LoadedModels.installed(models)
    found: PreparedImage = prepare(path.read_bytes(), installed.cards, AssessmentPolicy())
    assert found.model_input is not None
    card = installed.cards[found.model_name]
    scores = ModelSession(models / card.name, card, threads=1).score(found.model_input[np.newaxis])
    expected = conclude(found, card, scores.probability[0], float(scores.distance[0]), AssessmentPolicy())
    (record,) = scored([path], installed)
    assert record["probability"] == expected.probability
    assert record["tag"] == expected.tag


def test_an_unknown_age_is_not_assessed_unless_a_model_is_named(
    tmp_path: Path, models: Path, chest: np.ndarray[Any, Any]
) -> None:
    files = [a_file(tmp_path, chest, age=""), a_picture(tmp_path, chest)]
    for record in scored(files, LoadedModels.installed(models)):
        assert (record["tag"], record["probability"], record["reasons"]) == ("NOT_ASSESSED", None, ["age_unknown"])
    for record in scored(files, LoadedModels.only(models / "tiny-child")):
        assert (record["tag"], record["model_id"]) == ("ABNORMAL", "tiny-child 1")


def test_a_named_model_overrides_no_other_check(tmp_path: Path, models: Path, chest: np.ndarray[Any, Any]) -> None:
    lateral = a_file(tmp_path, chest, "lateral.dcm", view="LL")
    unsaid = a_file(tmp_path, chest, "unsaid.dcm", view="")
    blank = a_picture(tmp_path, np.full_like(chest, 2000), "blank.png")
    records = scored([lateral, unsaid, blank], LoadedModels.only(models / "tiny-adult"))
    assert [record["reasons"] for record in records] == [
        ["not_frontal"],
        ["view_unverified"],
        ["out_of_distribution"],
    ]
    assert [record["probability"] is None for record in records] == [True, False, False]


def test_a_model_that_is_switched_off_scores_nothing(tmp_path: Path, models: Path, chest: np.ndarray[Any, Any]) -> None:
    path = a_file(tmp_path, chest, age="050Y")
    policy = AssessmentPolicy(registry=RegistryPolicy(disabled=frozenset({"tiny-adult"})))
    for which in (LoadedModels.installed(models), LoadedModels.only(models / "tiny-adult")):
        (record,) = scored([path], which, policy)
        assert (record["probability"], record["reasons"]) == (None, ["model_disabled"])


def test_a_demonstration_scores_only_where_allowed(tmp_path: Path, chest: np.ndarray[Any, Any]) -> None:
    write_model(tmp_path, "tiny-demo", demo=True)
    picture = a_picture(tmp_path, chest)
    demo = LoadedModels.only(tmp_path / "tiny-demo")
    with pytest.raises(ModelRefusedError, match="demonstration"):
        scored([picture], demo)
    (record,) = scored([picture], demo, AssessmentPolicy(registry=RegistryPolicy(allow_demo=True)))
    assert record["model_id"] == "tiny-demo 1"


def test_a_named_model_may_be_given_by_a_relative_path(
    tmp_path: Path, models: Path, chest: np.ndarray[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = a_picture(tmp_path, chest)
    monkeypatch.chdir(models / "tiny-adult")
    (record,) = scored([picture], LoadedModels.only(Path(os.curdir)))
    assert record["model_id"] == "tiny-adult 1"


@dataclass(frozen=True)
class Odd:
    """Stands for a decoder with which files do what they are called."""

    def __call__(self, path: Path) -> PreparedImage:
        if path.name == "crash":
            os._exit(1)
        if path.name == "hang":
            threading.Event().wait()
        if path.name == "unfold":
            bytearray(MOST_MEMORY)
        return PreparedImage(Attributes(), View.PA, Part.CHEST)


@pytest.mark.parametrize("odd", ["crash", "hang", "unfold"])
def test_a_file_that_ends_keeps_or_fills_its_process_costs_the_others_nothing(odd: str) -> None:
    paths = [Path(name) for name in ("a", odd, "b")]
    with Decoder(Odd(), 1, 5.0 if odd == "hang" else 300.0) as decoder:
        found = decoder.finish(decoder.start(paths))
        assert [path for path, _ in found] == paths
        refused = [prepared.rejected and prepared.rejected.reason for _, prepared in found]
        assert refused == [None, Reason.WORKER_FAILURE, None]
        assert [prepared.rejected for _, prepared in decoder.finish(decoder.start([Path("c")]))] == [None]


def at(server: InferenceServer) -> Compute:
    return Compute(
        threads=1, decode_processes=1, servers={"far": RemoteAccess(server.address, 10.0, times=NO_PATIENCE)}
    )


def test_a_model_at_a_server_scores_files_too(tmp_path: Path, chest: np.ndarray[Any, Any]) -> None:
    write_remote_model(tmp_path / "models", "far", bias=-10)
    write_model(tmp_path / "same", "far", bias=-10)
    file = a_file(tmp_path, chest)
    with inference_server(model=partial(brightness, bias=-10)) as server:
        (far,) = predict([file], LoadedModels.installed(tmp_path / "models"), AssessmentPolicy(), at(server))
    (near,) = predict([file], LoadedModels.installed(tmp_path / "same"), AssessmentPolicy(), Compute(threads=1))
    assert far["tag"] == near["tag"] == "NORMAL"
    assert far["probability"] == pytest.approx(near["probability"], abs=1e-6)


def test_a_file_without_an_answer_is_not_assessed_and_names_the_model(
    tmp_path: Path, chest: np.ndarray[Any, Any]
) -> None:
    write_remote_model(tmp_path / "models", "far", bias=-10)
    models, file = LoadedModels.installed(tmp_path / "models"), a_file(tmp_path, chest)
    with inference_server(model=partial(brightness, bias=-10)) as server:
        server.fault = lambda request: (
            server.scored(request, data=[float("nan")] * 2) if images_of(request)[0].std() > 0.1 else None
        )
        (record,) = predict([file], models, AssessmentPolicy(), at(server))
    assert (record["tag"], record["reasons"]) == ("NOT_ASSESSED", ["worker_failure"])
    assert record["detail"] == "the model far 1: its server answers with numbers that are no probabilities (0 to 1)"
    (record,) = predict([file], models, AssessmentPolicy(), at(server))
    assert (record["tag"], record["reasons"]) == ("NOT_ASSESSED", ["worker_failure"])
    assert record["detail"].startswith("far is out of service: its server did not answer")


def test_a_record_has_every_finding(tmp_path: Path, chest: np.ndarray[Any, Any]) -> None:
    findings = [{"name": "abnormal"}, {"name": "opacity", "bias": -3.0, "counts": False}]
    card = write_model(tmp_path / "models", "two", findings=findings)
    (record,) = scored([a_file(tmp_path, chest)], LoadedModels.only(tmp_path / "models" / "two"))

    first, second = record["findings"]
    assert (first["name"], first["probability"], first["assessed"]) == ("abnormal", record["probability"], True)
    assert (second["name"], second["counts"], second["threshold"]) == ("opacity", False, 0.5)
    assert {each["model_id"] for each in record["findings"]} == {card.model_id}
