"""Validation through a running service's DICOM port: real associations, a namespace that patients' lists never see."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError
from pydicom import dcmread

from tests.dicom_peer import Running, running_listener, store
from tests.model_folders import write_model
from tests.waiting import wait_for
from triage.assess import Policy
from triage.decoding import DecodePool
from triage.listener import admission_policy
from triage.model.card import load_card
from triage.model.session import Session
from triage.phantom import Subject, as_dicom, draw
from triage.predict import Compute
from triage.send import Destination
from triage.settings import ListenerSettings, Settings
from triage.spool import Spool
from triage.validation import over_dicom
from triage.validation.aside import scored_aside
from triage.validation.manifest import Row, write_manifest
from triage.validation.namespace import forget, open_namespace
from triage.validation.over_dicom import Service, ServiceError
from triage.validation.predictions import read_predictions
from triage.validation.validate import FILES_ALONE, Outcome, Request, validate

VALIDATION = "VALIDATION"
QUICK = Compute(threads=1, decode_processes=1)


@dataclass
class Installation:
    """A listener and a scorer on one spool."""

    listener: Running
    spool: Spool
    service: Service


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "tiny-adult")
    write_model(folder, "tiny-child", age_from=1, age_below=6, bias=0.5)
    write_model(folder, "unused-adult", bias=0.1)
    return folder


@contextmanager
def installed(
    spool: Spool, models: Path, names: tuple[str, ...] = ("tiny-adult", "tiny-child")
) -> Iterator[Installation]:
    namespace = open_namespace(spool)
    sessions = {name: Session(models / name, load_card(models / name), threads=1) for name in names}
    with ExitStack() as stack:
        running = stack.enter_context(running_listener(spool, validation=namespace, validation_ae_title=VALIDATION))
        stack.enter_context(scored_aside(namespace, sessions, lambda: DecodePool(1, 60.0), Policy(), 16))
        destination = Destination("127.0.0.1", running.port, "CXR_TRIAGE", VALIDATION)
        yield Installation(running, spool, Service(destination, namespace))


def cohort(folder: Path) -> Path:
    """Pictures and DICOM files; one of a child, a lateral, one that says no view, one broken in two ways."""
    rows = []
    for number in range(6):
        path = folder / f"{number}.png"
        grey = (draw(number, rows=96, columns=96).astype(np.float64) / 4095) ** (0.7 if number % 2 else 1.2)
        assert cv2.imwrite(str(path), (grey * 255).astype(np.uint8))
        rows.append(Row(path, number % 2, f"p{number}", view="AP" if number % 2 else "PA", age=40.0 + number))
    for number, subject in enumerate(
        (Subject(), Subject(age="003Y"), Subject(view="LL"), Subject(view=""), Subject(age=""))
    ):
        path = folder / f"{number}.dcm"
        path.write_bytes(as_dicom(draw(20 + number, rows=96, columns=96), subject))
        rows.append(Row(path, number % 2, f"d{number}"))
    cut, broken = folder / "cut.dcm", folder / "cut.png"
    whole = as_dicom(draw(30, rows=96, columns=96), Subject())
    cut.write_bytes(whole[: len(whole) - 4000])
    broken.write_bytes((folder / "0.png").read_bytes()[:300])
    rows += [Row(cut, 1, "cut"), replace(rows[0], image=broken, patient="broken")]
    write_manifest(folder / "cohort.csv", rows)
    return folder / "cohort.csv"


def received_bytes(listener: Running) -> float:
    """Data sets that were counted."""
    found = [each for family in listener.registry.collect() for each in family.samples if "received_bytes" in each.name]
    return max(each.value for each in found if each.name.endswith("_total"))


def validated(request: Request, service: Service) -> Outcome:
    return validate(request, Policy(), QUICK, lambda what, more, total: None, service)


def test_both_ways_agree_and_nothing_is_left(spool: Spool, models: Path, tmp_path: Path) -> None:
    request = Request(models / "tiny-adult", cohort(tmp_path), tmp_path / "out", dicom=True, images=False, rounds=100)
    with installed(spool, models) as ours:
        outcome = validated(request, ours.service)
        assert received_bytes(ours.listener) == 0
        assert ours.listener.enqueued == []
    assert outcome.metrics["dicom"] == {"images": 13, "disagreements": []}
    assert outcome.passed
    through, alone = (list(read_predictions(tmp_path / "out" / name)) for name in ("predictions.csv", FILES_ALONE))
    assert [(each.tag, each.reasons) for each in through] == [(each.tag, each.reasons) for each in alone]
    assert [each.probability for each in through] == pytest.approx([each.probability for each in alone], abs=1e-6)
    reasons = [each.reasons for each in through][6:]
    expected = ["", "age_not_covered", "not_frontal", "view_unverified", "age_unknown", "undecodable", "undecodable"]
    assert ["".join(each) for each in reasons] == expected
    assert sum(each.assessed for each in through) == 7
    assert list(spool.waiting()) == list(spool.study_uids()) == list(spool.dead_letters()) == []
    namespace = open_namespace(spool)
    assert list(namespace.study_uids()) == list(namespace.waiting()) == list(namespace.dead_letters()) == []


def test_an_installation_that_scores_otherwise_is_found_out(spool: Spool, models: Path, tmp_path: Path) -> None:
    """Another operating point in the service than in the command: the tags differ, and the validation fails."""
    request = Request(models / "tiny-adult", cohort(tmp_path), tmp_path / "out", dicom=True, images=False, rounds=100)
    namespace = open_namespace(spool)
    session = Session(models / "tiny-adult", load_card(models / "tiny-adult"), threads=1)
    with (
        running_listener(spool, validation=namespace, validation_ae_title=VALIDATION) as running,
        scored_aside(
            namespace, {"tiny-adult": session}, lambda: DecodePool(1, 60.0), Policy(operating_point=0.999), 16
        ),
    ):
        service = Service(Destination("127.0.0.1", running.port, "CXR_TRIAGE", VALIDATION), namespace)
        outcome = validated(request, service)
    assert outcome.metrics["dicom"]["disagreements"]
    assert not outcome.passed


def test_the_model_given_must_be_the_one_that_runs(spool: Spool, models: Path, tmp_path: Path) -> None:
    request = Request(models / "unused-adult", cohort(tmp_path), tmp_path / "out", dicom=True, images=False)
    with installed(spool, models) as ours, pytest.raises(ServiceError, match="with tiny-adult 1, and not with unused"):
        validated(request, ours.service)


def test_pictures_that_say_too_little_are_refused_before_anything_is_sent(
    spool: Spool, models: Path, tmp_path: Path
) -> None:
    path = cohort(tmp_path)
    path.write_text(path.read_text().replace(",PA,", ",,"))
    request = Request(models / "tiny-adult", path, tmp_path / "out", dicom=True, images=False)
    with installed(spool, models) as ours, pytest.raises(ServiceError, match="line 2: a picture has no tags"):
        validated(request, ours.service)
    assert not (tmp_path / "out").exists()


def test_patients_go_their_way_beside_it(spool: Spool, models: Path, tmp_path: Path) -> None:
    picture = as_dicom(draw(1, rows=96, columns=96), Subject())
    dataset = dcmread(BytesIO(picture))
    with installed(spool, models) as ours:
        assert store(ours.listener.port, dataset, calling="MY_PACS") == [0x0000]
        wait_for(lambda: len(ours.listener.enqueued) == 1, "the patient's object to be announced")
        assert store(ours.listener.port, dataset, calling=VALIDATION) == [0x0000]
        namespace = ours.service.namespace
        wait_for(lambda: list(namespace.assessments(dataset.StudyInstanceUID)), "the validation's to be scored")
        assert [each.sop_instance_uid for each in spool.waiting()] == [dataset.SOPInstanceUID]
        assert len(picture) / 2 < received_bytes(ours.listener) < len(picture) * 1.5  # one of the two
    assert spool.assessments(dataset.StudyInstanceUID) == []
    forget(open_namespace(spool), time.time() - 3600)
    assert list(open_namespace(spool).study_uids()) == [dataset.StudyInstanceUID]  # of a run that may go on
    forget(open_namespace(spool), time.time() + 1)
    assert list(open_namespace(spool).study_uids()) == []


# pynetdicom leaves the socket of a refused connection to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_two_commands_at_once_and_a_service_that_does_not_answer(spool: Spool, models: Path, tmp_path: Path) -> None:
    path = cohort(tmp_path)
    request = Request(models / "tiny-adult", path, tmp_path / "out", dicom=True, images=False)
    namespace = open_namespace(spool)
    with running_listener(spool, validation=namespace, validation_ae_title=VALIDATION) as running:
        service = Service(Destination("127.0.0.1", running.port, "CXR_TRIAGE", VALIDATION), namespace, patience_s=0.5)
        with over_dicom.alone(service), pytest.raises(ServiceError, match="another triage validate"):
            validated(request, service)
        with pytest.raises(ServiceError, match="does a worker run"):
            validated(request, service)
        port = running.port
    gone = replace(service, destination=replace(service.destination, port=port))
    with pytest.raises(ServiceError, match="nobody answers"):
        validated(request, gone)


def test_the_title_is_let_in_and_cannot_be_a_patient_sender() -> None:
    policy = admission_policy(ListenerSettings(calling_ae_titles=("MY_PACS",), validation_ae_title=VALIDATION))
    assert policy.calling_ae_titles == {"MY_PACS", VALIDATION}
    assert admission_policy(ListenerSettings(validation_ae_title=VALIDATION)).calling_ae_titles == frozenset()
    with pytest.raises(ValidationError, match="validation_ae_title"):
        Settings.model_validate({"listener": {"calling_ae_titles": ["MY_PACS"], "validation_ae_title": "MY_PACS"}})
