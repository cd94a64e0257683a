"""Loading models and scoring images: what is taken, what is refused, and with which words."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom import dcmread

import triage
from tests.api.conftest import ROOT
from tests.support.model_folders import write_model
from triage.api.asserted import Asserted, ImageInputError
from triage.decision.reasons import Reason
from triage.model.card import ModelRefusedError
from triage.model.run_deadline import RunLimit
from triage.model.session import ModelSession
from triage.phantom.chest import BITS, PhantomSubject, as_dicom, draw
from triage.scoring.assess import prepare

CHEST = draw(1, rows=200, columns=180)
DARK, BRIGHT = (
    np.clip(np.linspace(0, 1, 200)[:, None] ** power * 4095 * np.ones(180), 0, 4095).astype(np.uint16)
    for power in (4, 0.25)
)
SAID = Asserted("PA", 50, "CHEST", "MONOCHROME2", BITS)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "tiny-adult", bias=-10, cam=True)
    write_model(folder, "tiny-child", age_from=1, age_below=6, bias=10)
    write_model(folder, "tiny-demo", age_from=6, age_below=18, demo=True)
    write_model(folder, "tiny-other")
    write_model(folder, "tiny-endless", endless_above=0.1)
    return folder


@pytest.fixture(scope="module")
def scorer(models: Path) -> triage.ImageScorer:
    return triage.load_models(models / "tiny-adult", models / "tiny-child", threads=1)


def test_the_model_for_the_age_scores_and_no_other(scorer: triage.ImageScorer) -> None:
    found = [scorer.score(CHEST, Asserted("PA", age, "CHEST", "MONOCHROME2", BITS)) for age in (50, 3.5, 10)]
    assert [(str(each.tag), each.model_id) for each in found] == [
        ("NORMAL", "tiny-adult 1"), ("ABNORMAL", "tiny-child 1"), ("NOT_ASSESSED", None),
    ]  # fmt: skip
    assert found[2].reasons == (Reason.AGE_NOT_COVERED,)
    assert [each.activation_map is None for each in found] == [False, True, True]
    assert [each.no_map for each in found] == [
        "", "tiny-child 1 has no activation map", "the image was not scored",
    ]  # fmt: skip
    assert [each.study_instance_uid for each in found] == ["", "", ""]


@pytest.mark.parametrize(
    ("asserted", "reason", "unsaid"),
    [
        (Asserted(None, 50, "CHEST", "MONOCHROME2", BITS), Reason.VIEW_UNVERIFIED, "view_position"),
        (Asserted("PA", None, "CHEST", "MONOCHROME2", BITS), Reason.AGE_UNKNOWN, "age_years"),
        (Asserted("PA", 50, None, "MONOCHROME2", BITS), Reason.BODY_PART_UNVERIFIED, "body_part_examined"),
        (Asserted("", 50, "CHEST", "MONOCHROME2", BITS), Reason.VIEW_UNVERIFIED, ""),
        (Asserted("LATERAL", 50, "CHEST", "MONOCHROME2", BITS), Reason.NOT_FRONTAL, ""),
        (Asserted("LL", 50, "CHEST", "MONOCHROME2", BITS), Reason.NOT_FRONTAL, ""),
        (Asserted("PX", 50, "CHEST", "MONOCHROME2", BITS), Reason.VIEW_UNVERIFIED, ""),
        (Asserted("PA", 50, "HAND", "MONOCHROME2", BITS), Reason.NOT_CHEST, ""),
        (Asserted("PA", 50, "THINGUMMY", "MONOCHROME2", BITS), Reason.BODY_PART_UNVERIFIED, ""),
    ],
)  # fmt: skip
def test_what_is_not_asserted_to_be_a_frontal_chest_of_known_age_is_not_assessed(
    scorer: triage.ImageScorer, asserted: Asserted, reason: Reason, unsaid: str
) -> None:
    result = scorer.score(CHEST, asserted)
    assert (result.tag, result.reasons) == (triage.Tag.NOT_ASSESSED, (reason,))
    assert ("nothing was asserted of" in result.detail) == bool(unsaid)
    assert unsaid in result.detail


def test_the_lowest_value_is_bright_where_the_caller_says_so(scorer: triage.ImageScorer) -> None:
    inverse = ((1 << BITS) - 1 - CHEST).astype(np.uint16)
    said = Asserted("PA", 50, "CHEST", "MONOCHROME1", BITS)
    assert scorer.score(inverse, said).probability == pytest.approx(scorer.score(CHEST, SAID).probability)
    assert scorer.score(CHEST, said).probability != pytest.approx(scorer.score(CHEST, SAID).probability)
    picture = cv2.imencode(".png", inverse << 4)[1].tobytes()
    dark_bone, as_shown = (scorer.score(picture, Asserted("PA", 50, "CHEST", each)) for each in ("MONOCHROME1", None))
    assert dark_bone.probability == pytest.approx(scorer.score(CHEST, SAID).probability, rel=1e-3)
    assert as_shown.probability != pytest.approx(dark_bone.probability, rel=1e-3)


@pytest.mark.parametrize(
    "change", [np.asfortranarray, lambda each: each.astype(">u2"), lambda each: each[:, ::-1][:, ::-1]]
)
def test_the_layout_of_an_array_changes_nothing(scorer: triage.ImageScorer, change: Callable[[Any], Any]) -> None:
    assert scorer.score(change(CHEST), SAID) == scorer.score(CHEST, SAID)


@pytest.mark.parametrize(
    ("pixels", "asserted", "words"),
    [
        (CHEST, Asserted("PA", 50, "CHEST"), "assert photometric_interpretation"),
        (CHEST, Asserted(photometric_interpretation="MONOCHROME2"), "assert bits_stored"),
        (CHEST, Asserted(photometric_interpretation="MONOCHROME2", bits_stored=8), "more than 8 bits can hold"),
        (np.zeros((9, 9), np.uint8), SAID, "the array has 8"),
        (CHEST / 4095, SAID, "not float64: scale floats"),
        (CHEST.astype(np.int16), SAID, "not int16"),
        (CHEST.astype(np.uint32), SAID, "not uint32"),
        (CHEST > 9, SAID, "not bool"),
        (np.stack([CHEST] * 3, axis=-1), SAID, r"not \(200, 180, 3\)"),
        (CHEST[:0], SAID, r"not \(0, 180\)"),
        (np.zeros((1, 1 << 16), np.uint8), SAID, r"not \(1, 65536\)"),
        (np.ma.masked_greater(CHEST, 9), SAID, "masked"),
    ],
)  # fmt: skip
def test_an_array_that_is_no_image_is_an_error_that_says_what_to_do(
    scorer: triage.ImageScorer, pixels: Any, asserted: Asserted, words: str
) -> None:
    with pytest.raises(ImageInputError, match=words):
        scorer.score(pixels, asserted)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"age_years": -1}, "0 to 120"),
        ({"age_years": 121}, "0 to 120"),
        ({"age_years": float("nan")}, "0 to 120"),
        ({"view_position": "pa"}, "capitals"),
        ({"view_position": "PA\\LATERAL"}, "capitals"),
        ({"body_part_examined": "CHEST AND ABDOMEN"}, "16 capitals"),
        ({"photometric_interpretation": "RGB"}, "MONOCHROME1 or MONOCHROME2"),
        ({"bits_stored": 1}, "2 to 16"),
        ({"station_name": "A\\B"}, "without a backslash"),
    ],
)
def test_an_assertion_that_cannot_be_is_an_error(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ImageInputError, match=words):
        Asserted(**fields)


@pytest.mark.parametrize(
    ("years", "written"),
    [(0, "000D"), (0.5, "182D"), (0.999, "364D"), (1, "001Y"), (17.99, "017Y"), (120, "120Y"), (None, "")],
)
def test_an_age_is_written_as_completed_years_and_below_one_in_days(years: float | None, written: str) -> None:
    assert Asserted(age_years=years).patient_age == written


def test_nothing_is_asserted_of_a_dicom_file(scorer: triage.ImageScorer) -> None:
    with pytest.raises(ImageInputError, match="says itself"):
        scorer.score(as_dicom(CHEST, PhantomSubject(view="LL")), Asserted("PA"))


NO_IMAGES = [(content, said) for content in (b"", b"no image", b"\x89PNG\r\n\x1a\n") for said in (None, Asserted("PA"))]


@pytest.mark.parametrize(("content", "asserted"), [*NO_IMAGES, (as_dicom(CHEST, PhantomSubject())[:900], None)])
def test_what_cannot_be_decoded_is_not_assessed(
    scorer: triage.ImageScorer, content: bytes, asserted: Asserted | None
) -> None:
    result = scorer.score(content, asserted)
    assert (result.tag, result.probability) == (triage.Tag.NOT_ASSESSED, None)
    assert result.reasons == (Reason.UNDECODABLE,)


def test_what_is_no_image_at_all_is_an_error(scorer: triage.ImageScorer, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        scorer.score(tmp_path / "missing.dcm")
    with pytest.raises(TypeError, match=r"not FileDataset.*score the file"):
        scorer.score(dcmread(BytesIO(as_dicom(CHEST, PhantomSubject()))))  # type: ignore[arg-type]
    png = cv2.imencode(".png", CHEST)[1].tobytes()
    with pytest.raises(ImageInputError, match="a picture says itself"):
        scorer.score(png, SAID)
    assert scorer.score(bytearray(png), Asserted("PA", 50, "CHEST")).model_id == "tiny-adult 1"


def test_a_model_that_must_not_score_is_refused(models: Path, tmp_path: Path) -> None:
    for folders, words in [
        ([models / "tiny-demo"], "allow_demo=True"),
        ([models / "tiny-adult", models / "tiny-other"], "in service for the same"),
        ([models / "tiny-adult", models / "tiny-adult"], "two of the folders"),
        ([tmp_path], "cannot be read"),
    ]:
        with pytest.raises(ModelRefusedError, match=words):
            triage.load_models(*folders)
    for point in (50, 1, -0.1):
        with pytest.raises(ImageInputError, match="operating_point"):
            triage.load_models(models / "tiny-adult", operating_point=point)
    assert "tiny-demo" in triage.load_models(models / "tiny-demo", allow_demo=True).cards


def test_without_a_folder_the_installed_models_are_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert set(triage.load_models(threads=1).cards) == {path.parent.name for path in ROOT.glob("models/*/card.json")}


def test_numbers_of_numpy_are_numbers(scorer: triage.ImageScorer) -> None:
    said = Asserted("PA", np.float32(50), "CHEST", "MONOCHROME2", np.uint8(BITS))  # type: ignore[arg-type]
    assert scorer.score(CHEST, said) == scorer.score(CHEST, SAID)


def test_the_operating_point_is_the_callers(models: Path) -> None:
    careful = triage.load_models(models / "tiny-adult", operating_point=0.0, threads=1).score(CHEST, SAID)
    assert (str(careful.tag), careful.operating_point) == ("ABNORMAL", 0.0)


def test_a_run_that_does_not_end_is_not_assessed(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triage.api.image_scorer.ModelSession", partial(ModelSession, limit=RunLimit(0.3)))
    scorer = triage.load_models(models / "tiny-endless", threads=1)
    endless, other = (scorer.score(each, SAID) for each in (BRIGHT, DARK))
    assert (str(endless.tag), endless.probability, endless.reasons) == ("NOT_ASSESSED", None, (Reason.WORKER_FAILURE,))
    assert "did not end" in endless.detail
    assert other.probability is not None


def test_threads_share_a_scorer(scorer: triage.ImageScorer) -> None:
    expected, found = scorer.score(CHEST, SAID), []
    threads = [threading.Thread(target=lambda: found.append(scorer.score(CHEST, SAID))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


def test_one_image_is_decoded_at_a_time(scorer: triage.ImageScorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Filters of warnings, by which damage is told, are of the whole process."""
    inside: list[int] = []
    most: list[int] = []

    def slow(*arguments: Any) -> Any:
        inside.append(1)
        most.append(len(inside))
        threading.Event().wait(0.05)
        inside.pop()
        return prepare(*arguments)

    monkeypatch.setattr("triage.api.decoding.prepare", slow)
    threads = [threading.Thread(target=scorer.score, args=(CHEST, SAID)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1]
