"""Validation through a running service: its port, processes, queue and worker; a place apart from patients."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from click.testing import CliRunner
from pydantic import ValidationError
from pydicom import dcmread
from pydicom.uid import ComputedRadiographyImageStorage

from tests.support.certificates import authority
from tests.support.dicom_peer import running_listener, store
from tests.support.model_folders import write_model
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.service import Roles, a_chest, is_done, receive, roles
from tests.support.wait import wait_for
from triage.cli import triage
from triage.dicom.requestor import RemoteAE
from triage.listener.admission import admission_policy
from triage.listener.settings import ListenerSettings
from triage.phantom.chest import PhantomSubject, as_dicom, draw
from triage.queue.score_queue import PartitionedInstance, ScoreQueue, connect
from triage.scoring.assess import AssessmentPolicy
from triage.scoring.finding_scores import FindingPolicy
from triage.scoring.predict import Compute
from triage.settings.schema import Settings
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.spool.validation_partition import VALIDATION as PARTITION
from triage.spool.validation_partition import close_partition, open_partition, remove_old_studies
from triage.validation.cohort.manifest import Row, write_manifest
from triage.validation.run import ValidationRequest, ValidationResult
from triage.validation.scores import over_dicom
from triage.validation.scores.over_dicom import ServiceError, TargetService
from triage.validation.scores.predictions import FILES_ALONE, read_predictions
from triage.validation.validate import validate
from triage.worklist.index import IndexedWorklist

VALIDATION = "VALIDATION"
QUICK = Compute(threads=1, decode_processes=1)
CLIENT = ("TRIAGE_CLIENT_TLS_CERTIFICATE", "TRIAGE_CLIENT_TLS_KEY")
DAY = 24 * 3600.0


@dataclass(frozen=True)
class Installation:
    """A service of three processes on a Redis of its own."""

    roles: Roles
    redis: RedisServer
    port: int
    metrics_ports: tuple[int, int, int]

    @property
    def spool(self) -> Spool:
        return self.roles.spool

    @property
    def service(self) -> TargetService:
        return TargetService(RemoteAE("127.0.0.1", self.port, "CXR_TRIAGE", VALIDATION), open_partition(self.spool))

    def counters(self) -> dict[str, float]:
        """Counters of objects of every process, by process and name; without connections and runs of sweep."""
        found = {}
        for port in self.metrics_ports:
            page = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
            for line in page.splitlines():
                name = line.rpartition(" ")[0]
                if ("_total" in name or "_count" in name) and name.startswith("cxr_triage"):
                    found[f"{port} {name}"] = float(line.rpartition(" ")[2])
        others = ("sweep_runs", "sweep_duration", "associations")
        return {name: value for name, value in found.items() if not any(each in name for each in others)}

    def left(self) -> list[object]:
        """Everything left in the patients' spool, in the partition and in Redis."""
        found: list[object] = []
        for spool in (self.spool, open_partition(self.spool)):
            found += [*spool.waiting(), *spool.study_uids(), *spool.dead_letters()]
        with connect(self.redis.url, 5.0) as client:
            return [*found, *client.scan_iter("rq:job:*"), *IndexedWorklist(client).study_uids()]

    def nothing_is_left(self) -> bool:
        """Return whether the service is in the state before anything was sent."""
        return not self.left()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "tiny-adult")
    write_model(folder, "tiny-child", age_from=1, age_below=6, bias=0.5)
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Installation]:
    port, tls_port, *metrics_ports = (free_port() for _ in range(5))
    folder = tmp_path_factory.mktemp("installation")
    ca = authority(folder)
    certificate = ca.certificate("listener", host="DNS:triage.hospital.example")
    settings = {
        "listener_tls_port": str(tls_port),
        "listener_tls_certificate": str(certificate.path),
        "listener_tls_key": str(certificate.key),
        "listener_tls_client_ca": str(ca.path),
        "listener_port": str(port),
        "listener_validation_ae_title": VALIDATION,
        "listener_metrics_port": str(metrics_ports[0]),
        "worker_metrics_port": str(metrics_ports[1]),
        "sweep_metrics_port": str(metrics_ports[2]),
    }
    with RedisServer() as redis, roles(folder, redis.url, models, **settings) as running:
        for name, says in (("listen", "listening as"), ("work", "working with")):
            role = running.start(name)
            wait_for(lambda role=role, says=says: role.said(says), name)  # type: ignore[misc]
        running.start("sweep")
        ours = Installation(running, redis, port, (metrics_ports[0], metrics_ports[1], metrics_ports[2]))
        wait_for(lambda: _answers(ours), "the sweep's metrics")
        yield ours


def _answers(ours: Installation) -> bool:
    try:
        return bool(ours.counters())
    except httpx.TransportError:
        return False


def cohort(folder: Path) -> Path:
    """Pictures and DICOM files; one of a child, a lateral, one that says no view, one broken in two ways."""
    rows = []
    for number in range(6):
        path = folder / f"{number}.png"
        grey = (draw(number, rows=96, columns=96).astype(np.float64) / 4095) ** (0.7 if number % 2 else 1.2)
        assert cv2.imwrite(str(path), (grey * 255).astype(np.uint8))
        rows.append(Row(path, number % 2, f"p{number}", view="AP" if number % 2 else "PA", age=40.0 + number))
    for number, subject in enumerate(
        (
            PhantomSubject(),
            PhantomSubject(age="003Y"),
            PhantomSubject(view="LL"),
            PhantomSubject(view=""),
            PhantomSubject(age=""),
        )
    ):
        path = folder / f"{number}.dcm"
        path.write_bytes(as_dicom(draw(20 + number, rows=96, columns=96), subject))
        rows.append(Row(path, number % 2, f"d{number}"))
    cut, broken = folder / "cut.dcm", folder / "cut.png"
    whole = as_dicom(draw(30, rows=96, columns=96), PhantomSubject())
    cut.write_bytes(whole[: len(whole) - 4000])
    broken.write_bytes((folder / "0.png").read_bytes()[:300])
    rows += [Row(cut, 1, "cut"), replace(rows[0], image=broken, patient="broken")]
    write_manifest(folder / "cohort.csv", rows)
    return folder / "cohort.csv"


def validated(
    request: ValidationRequest, service: TargetService, policy: AssessmentPolicy | None = None
) -> ValidationResult:
    return validate(request, policy or AssessmentPolicy(), QUICK, lambda what, more, total: None, service)


def test_both_ways_agree_exactly_and_nothing_is_left_nor_counted(
    installed: Installation, models: Path, tmp_path: Path
) -> None:
    before = installed.counters()
    request = ValidationRequest(
        models / "tiny-adult", cohort(tmp_path), tmp_path / "out", dicom=True, images=False, rounds=100
    )
    outcome = validated(request, installed.service)
    assert outcome.metrics["dicom"] == {"images": 13, "disagreements": []}
    assert outcome.passed
    through, alone = (list(read_predictions(tmp_path / "out" / name)) for name in ("predictions.csv", FILES_ALONE))
    assert [replace(each, key="") for each in through] == [replace(each, key="") for each in alone]
    reasons = [each.reasons for each in through][6:]
    expected = ["", "age_not_covered", "not_frontal", "view_unverified", "age_unknown", "undecodable", "undecodable"]
    assert ["".join(each) for each in reasons] == expected
    assert sum(each.assessed for each in through) == 7
    wait_for(installed.nothing_is_left, f"an end of {installed.left()}")
    assert installed.counters() == before


def test_an_installation_that_scores_otherwise_is_found_out(
    installed: Installation, models: Path, tmp_path: Path
) -> None:
    """Another operating point in the service than in the command: the tags differ, and the validation fails."""
    request = ValidationRequest(
        models / "tiny-adult", cohort(tmp_path), tmp_path / "out", dicom=True, images=False, rounds=100
    )
    outcome = validated(request, installed.service, AssessmentPolicy(findings=FindingPolicy(0.999)))
    assert outcome.metrics["dicom"]["disagreements"]
    assert not outcome.passed


def test_a_model_that_a_person_switched_off_is_found_out(installed: Installation, models: Path, tmp_path: Path) -> None:
    request = ValidationRequest(
        models / "tiny-adult", cohort(tmp_path), tmp_path / "out", dicom=True, images=False, rounds=100
    )
    installed.spool.model_switches.set_disabled("tiny-adult", True)
    try:
        outcome = validated(request, installed.service)
    finally:
        installed.spool.model_switches.set_disabled("tiny-adult", False)
    assert {each["ways"][0]["reasons"][0] for each in outcome.metrics["dicom"]["disagreements"]} == {"model_disabled"}
    assert not outcome.passed


def test_an_object_that_the_listener_refuses_is_not_assessed_and_ends_nothing(
    installed: Installation, models: Path, tmp_path: Path
) -> None:
    """Its file says another class than its data set, 0xA900: the file alone can be scored, the service takes none."""
    path = cohort(tmp_path)
    contradicts = dcmread(tmp_path / "0.dcm")
    contradicts.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    contradicts.save_as(tmp_path / "0.dcm", enforce_file_format=False)
    request = ValidationRequest(models / "tiny-adult", path, tmp_path / "out", dicom=True, images=False, rounds=100)
    outcome = validated(request, installed.service)
    (found,) = outcome.metrics["dicom"]["disagreements"]
    assert (found["image"], found["ways"][0]["reasons"]) == ("0.dcm", ["undecodable"])
    assert not outcome.passed


@pytest.mark.parametrize("encrypted", [False, True])
def test_the_command_validates_the_service_of_its_settings(
    installed: Installation, models: Path, tmp_path: Path, encrypted: bool
) -> None:
    command = ["validate", "--model", str(models / "tiny-adult"), "--cohort", str(cohort(tmp_path)), "--no-images"]
    command += ["--rounds", "100", "--out", str(tmp_path / "out"), "--dicom", "--require", "coverage_lower>=0.2"]
    environment = {name: value for name, value in installed.roles.environment().items() if name.startswith("TRIAGE_")}
    if encrypted:
        environment["TRIAGE_LISTENER_TLS_ONLY"] = "true"
        environment["TRIAGE_CLIENT_TLS_CERTIFICATE"] = environment["TRIAGE_LISTENER_TLS_CERTIFICATE"]
        environment["TRIAGE_CLIENT_TLS_KEY"] = environment["TRIAGE_LISTENER_TLS_KEY"]
    done = CliRunner().invoke(triage, command, env=environment, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "all 13 images agree" in done.output
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["dicom"]["images"] == 13
    assert "exactly those of the model file alone" in (tmp_path / "out" / "report.html").read_text()
    unnamed = {**environment, "TRIAGE_LISTENER_VALIDATION_AE_TITLE": ""}
    done = CliRunner().invoke(triage, command, env=unnamed)
    assert done.exit_code == 78 and "needs listener.validation_ae_title" in done.output
    if encrypted:
        done = CliRunner().invoke(triage, command, env={**environment, **dict.fromkeys(CLIENT, "")})
        assert done.exit_code == 78 and "set client.tls_certificate" in done.output


def test_the_model_given_must_be_the_one_that_runs(installed: Installation, tmp_path: Path) -> None:
    write_model(tmp_path, "unused-adult", bias=0.1)
    request = ValidationRequest(tmp_path / "unused-adult", cohort(tmp_path), tmp_path / "out", dicom=True, images=False)
    with pytest.raises(ServiceError, match="with tiny-adult 1, and not with unused"):
        validated(request, installed.service)
    forget_all(installed)


def test_pictures_that_say_too_little_are_refused_before_anything_is_sent(
    installed: Installation, models: Path, tmp_path: Path
) -> None:
    path = cohort(tmp_path)
    path.write_text(path.read_text().replace(",PA,", ",,"))
    request = ValidationRequest(models / "tiny-adult", path, tmp_path / "out", dicom=True, images=False)
    with pytest.raises(ServiceError, match="line 2: a picture has no tags"):
        validated(request, installed.service)
    assert not (tmp_path / "out").exists()


def test_two_files_of_one_sop_instance_uid_are_refused_before_anything_is_sent(
    spool: Spool, models: Path, tmp_path: Path
) -> None:
    """Whatever lies between them: the service's results are found by that UID."""
    path = cohort(tmp_path)
    other = dcmread(tmp_path / "4.dcm")
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = dcmread(tmp_path / "0.dcm").SOPInstanceUID
    other.save_as(tmp_path / "4.dcm")
    request = ValidationRequest(models / "tiny-adult", path, tmp_path / "out", dicom=True, images=False)
    nowhere = TargetService(RemoteAE("127.0.0.1", 1, "CXR_TRIAGE", VALIDATION), open_partition(spool))
    with pytest.raises(ServiceError, match=r"lines 8 and 12: 0\.dcm and 4\.dcm have one SOP Instance UID"):
        validated(request, nowhere)
    assert not (tmp_path / "out").exists()


def test_what_the_queue_lost_is_scored_all_the_same(installed: Installation) -> None:
    """Files are the truth there too: an object that came while Redis was emptied is found by the sweep."""
    partition = open_partition(installed.spool)
    before = installed.counters()
    (instance,) = [receive(partition, a_chest(number)) for number in (77,)]
    wait_for(lambda: is_done(partition) and list(partition.assessments(instance.study_instance_uid)), "its score")
    assert installed.counters() == before
    forget_all(installed)


def test_patients_go_their_way_beside_it(installed: Installation) -> None:
    dataset = dcmread(BytesIO(as_dicom(draw(1, rows=96, columns=96), PhantomSubject())))
    uid, partition = str(dataset.StudyInstanceUID), open_partition(installed.spool)
    assert store(installed.port, dataset, calling="MY_PACS") == [0x0000]
    assert store(installed.port, dataset, calling=VALIDATION) == [0x0000]
    wait_for(lambda: is_done(installed.spool) and is_done(partition), "both to be scored")
    ours, theirs = (spool.assessments(uid)[0] for spool in (installed.spool, partition))
    assert (ours["probability"], ours["tag"]) == (theirs["probability"], theirs["tag"])
    with connect(installed.redis.url, 5.0) as client:
        assert [each.study_instance_uid for each in IndexedWorklist(client).page(None, 10, 2e9).entries] == [uid]
        IndexedWorklist(client).remove(uid)
    installed.spool.remove_study(uid)
    remove_old_studies(partition, time.time() - 3600)
    assert list(partition.study_uids()) == [uid]  # of a run that may go on
    os.utime(partition.study_folder(uid), (time.time() - 2 * DAY,) * 2)
    wait_for(lambda: not list(partition.study_uids()), "the sweep to remove what a killed command left")


def test_a_place_that_no_setting_names_is_removed(spool: Spool) -> None:
    receive(open_partition(spool), a_chest())
    patient = receive(spool, a_chest(1))
    close_partition(spool)
    assert not (spool.root / PARTITION).exists()
    assert list(spool.waiting()) == [patient]
    close_partition(spool)


def test_a_job_of_a_place_that_the_worker_does_not_have_is_refused(installed: Installation) -> None:
    with connect(installed.redis.url, 5.0) as client:
        jobs = ScoreQueue(client)
        for place in ("elsewhere", "../spool", f"{PARTITION}/{PARTITION}"):
            work = PartitionedInstance(place, ReceivedInstance("1.2", "1.2.3", "0" * 64))
            assert PartitionedInstance.from_key(work.key) == work
            jobs.enqueue(work)
            wait_for(lambda work=work: jobs.state(work)[0] == "failed", place)  # type: ignore[misc]
            jobs.forget(work)


def forget_all(installed: Installation) -> None:
    wait_for(lambda: is_done(open_partition(installed.spool)), "what was sent to be scored")
    with over_dicom.exclusive_partition(installed.service):
        pass
    wait_for(installed.nothing_is_left, f"an end of {installed.left()}")


# pynetdicom leaves the socket of a refused connection to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_two_commands_at_once_and_a_service_that_does_not_answer(spool: Spool, models: Path, tmp_path: Path) -> None:
    path = cohort(tmp_path)
    request = ValidationRequest(models / "tiny-adult", path, tmp_path / "out", dicom=True, images=False)
    partition = open_partition(spool)
    with running_listener(spool, validation=partition, validation_ae_title=VALIDATION) as running:
        service = TargetService(RemoteAE("127.0.0.1", running.port, "CXR_TRIAGE", VALIDATION), partition, timeout_s=0.5)
        with over_dicom.exclusive_partition(service), pytest.raises(ServiceError, match="another triage validate"):
            validated(request, service)
        with pytest.raises(ServiceError, match="does a worker run"):
            validated(request, service)
        port = running.port
        assert {each.partition for each in running.enqueued if isinstance(each, PartitionedInstance)} == {PARTITION}
    gone = replace(service, destination=replace(service.destination, port=port))
    with pytest.raises(ServiceError, match="cannot connect"):
        validated(request, gone)


def test_the_title_is_let_in_and_cannot_be_a_patient_sender() -> None:
    policy = admission_policy(ListenerSettings(calling_ae_titles=("MY_PACS",), validation_ae_title=VALIDATION))
    assert policy.calling_ae_titles == {"MY_PACS", VALIDATION}
    assert admission_policy(ListenerSettings(validation_ae_title=VALIDATION)).calling_ae_titles == frozenset()
    with pytest.raises(ValidationError, match="validation_ae_title"):
        Settings.model_validate({"listener": {"calling_ae_titles": ["MY_PACS"], "validation_ae_title": "MY_PACS"}})
