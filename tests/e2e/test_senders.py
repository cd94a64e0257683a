"""Real senders, real radiographs: what arrives, and that its tags are those of `triage predict`."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid

from tests.support.dicom_peer import RawPeer, command, encoded, store
from tests.support.dicom_senders import PROPOSE, Orthanc, dcmsend, storescu
from tests.support.real_radiographs import Sent, fresh, read, real_chests, written
from tests.support.wait import wait_for
from tests.support.whole_service import Service
from triage.decision.reasons import LISTED_NOT_COUNTED

SAME = ("tag", "probability", "reasons", "model_id")


def assert_as_predicted(service: Service, sent: list[Sent], before: set[str]) -> None:
    """Each of ``sent``, a study of its own, is in the worklist with what predict says of its file, and nothing else."""
    entries = service.tagged(*(each.study for each in sent))
    assert set(service.worklist()) - before == set(entries) == {each.study for each in sent}
    predictions = service.predictions(*(each.path for each in sent))
    assert [record["file"] for record in predictions] == [str(each.path) for each in sent]
    for each, expected in zip(sent, predictions, strict=True):
        (image,) = service.images(each.study)
        assert chosen(image) == chosen(expected), each.path
        entry = entries[each.study]
        if LISTED_NOT_COUNTED.intersection(expected["reasons"]):
            assert (entry["tag"], entry["reasons"]) == ("NOT_ASSESSED", ["no_frontal_image"])
        else:
            assert chosen(entry) == chosen(expected), each.path
        assert entry["priority"] == ("HIGH" if entry["tag"] == "ABNORMAL" else "MEDIUM")
    assert sum(record["probability"] is not None for record in predictions) > len(sent) / 2, (
        "hardly anything was scored"
    )


def chosen(record: dict[str, Any]) -> dict[str, Any]:
    return {name: record[name] for name in SAME}


def test_storescu_delivers_a_folder(service: Service, chests: list[Sent], tmp_path: Path) -> None:
    before = set(service.worklist())
    folder = tmp_path / "uncompressed"
    folder.mkdir()
    said = ""
    for each in chests:
        syntax = read(each.path).file_meta.TransferSyntaxUID
        if syntax.is_compressed:  # it does not decompress, and has to be told to propose the file's own syntax
            said += storescu(service.dicom_port, PROPOSE[syntax], each.path)
        else:
            shutil.copy(each.path, folder)
    said += storescu(service.dicom_port, "+sd", folder)
    assert said.count("Received Store Response (Success)") == len(chests), said
    assert_as_predicted(service, chests, before)


def test_dcmsend_delivers(service: Service, chests: list[Sent]) -> None:
    before = set(service.worklist())
    said = dcmsend(service.dicom_port, *(each.path for each in chests))
    assert said.count("Received C-STORE Response (Success)") == len(chests), said
    assert_as_predicted(service, chests, before)


def test_orthanc_delivers(service: Service, chests: list[Sent], tmp_path: Path) -> None:
    before = set(service.worklist())
    with Orthanc(tmp_path, service.dicom_port) as orthanc:
        told = orthanc.send([orthanc.upload(each.path) for each in chests])
    assert (told["InstancesCount"], told["FailedInstancesCount"]) == (len(chests), 0)
    assert_as_predicted(service, chests, before)


def test_two_senders_at_once(service: Service, chests: list[Sent], triage_data: Path, tmp_path: Path) -> None:
    before = set(service.worklist())
    second = tmp_path / "second"
    second.mkdir()
    others = real_chests(triage_data, second)
    groups = (chests, others)
    threads = [
        threading.Thread(target=dcmsend, args=(service.dicom_port, *(each.path for each in group))) for group in groups
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_as_predicted(service, [*chests, *others], before)


@pytest.fixture
def adult(chests: list[Sent]) -> Sent:
    """One scored frontal of an adult."""
    return next(each for each in chests if each.path.stem.startswith("0"))


def test_frontal_and_lateral_are_one_study(service: Service, adult: Sent, tmp_path: Path) -> None:
    lateral = fresh(adult.path, tmp_path, StudyInstanceUID=adult.study, ViewPosition="LL", PatientOrientation="")
    dataset = read(lateral.path)
    del dataset.ViewCodeSequence
    written(dataset, lateral.path)
    dcmsend(service.dicom_port, lateral.path, adult.path)
    entry = wait_for(lambda: _with_images(service, adult.study, 2), "both images")

    (alone,) = service.predictions(adult.path)
    assert chosen(entry) == chosen(alone)
    assert entry["evidence"] == [adult.sop]
    by_sop = {image["sop_instance_uid"]: image for image in service.images(adult.study)}
    assert by_sop[lateral.sop]["reasons"] == ["not_frontal"]


def test_the_same_study_twice_is_one_result(service: Service, adult: Sent) -> None:
    dcmsend(service.dicom_port, adult.path)
    first = service.tagged(adult.study)[adult.study]
    duplicates = service.counted("objects_received_total", outcome="duplicate")
    said = dcmsend(service.dicom_port, adult.path) + storescu(service.dicom_port, adult.path)

    assert said.count("(Success)") == 2, said
    assert service.counted("objects_received_total", outcome="duplicate") == duplicates + 2
    assert service.tagged(adult.study)[adult.study] == first
    assert len(service.images(adult.study)) == len(service.spool.history(adult.study)) == 1


def test_other_pixels_under_a_known_uid_are_kept_beside(service: Service, adult: Sent, tmp_path: Path) -> None:
    dcmsend(service.dicom_port, adult.path)
    first = service.tagged(adult.study)[adult.study]
    dataset = read(adult.path)
    darker = bytes(value // 2 for value in dataset.PixelData)
    other = written(dataset, tmp_path / "other.dcm", PixelData=darker, RescaleSlope=1)
    dcmsend(service.dicom_port, other.path)
    entry = wait_for(lambda: _with_images(service, adult.study, 2), "both contents")

    now, before = service.predictions(other.path, adult.path)
    images = service.images(adult.study)
    assert {image["sop_instance_uid"] for image in images} == {adult.sop}
    assert sorted(image["probability"] for image in images) == sorted([now["probability"], before["probability"]])
    assert chosen(first) == chosen(before)
    # The later content is the one that counts, unless the earlier one was abnormal.
    counting = [record for record in (now, before) if record is now or record["tag"] == "ABNORMAL"]
    assert entry["tag"] == ("ABNORMAL" if "ABNORMAL" in [each["tag"] for each in counting] else now["tag"])
    files = {path.read_bytes() for path in service.spool.study_folder(adult.study).glob("*.dcm")}
    assert len(files) == 2


def _with_images(service: Service, study: str, count: int) -> dict[str, Any]:
    entry = service.tagged(study)[study]
    return entry if len(service.images(study)) == count else {}


def test_an_association_aborted_in_mid_object_leaves_nothing(service: Service, adult: Sent) -> None:
    dataset = read(adult.path)
    data = encoded(dataset)
    incomplete = service.counted("objects_received_total", outcome="incomplete")
    with RawPeer(service.dicom_port) as peer:
        peer.associate()
        peer.send_fragment(1, 0x03, command(0x0001, str(dataset.SOPClassUID), adult.sop))
        peer.send_fragment(1, 0x00, data[: len(data) // 2])
        wait_for(lambda: list(service.spool.incoming.iterdir()), "the object to begin")
        peer.send_pdu(0x07, bytes(4))
        wait_for(lambda: service.counted("objects_received_total", outcome="incomplete") > incomplete, "the abort")

    assert not list(service.spool.incoming.glob("*.part"))
    assert not any(instance.study_instance_uid == adult.study for instance in service.spool.waiting())
    assert service.get(f"/api/worklist/{adult.study}")[0] == 404

    # Sent whole, it is taken as if nothing had been.
    dcmsend(service.dicom_port, adult.path)
    (expected,) = service.predictions(adult.path)
    assert chosen(service.tagged(adult.study)[adult.study]) == chosen(expected)


def test_what_is_no_radiograph_is_listed_and_not_counted(
    service: Service, adult: Sent, triage_data: Path, tmp_path: Path
) -> None:
    other = triage_data / "dicom" / "other-modality"
    patient = read(adult.path)
    same = {name: patient.get(name, "") for name in ("PatientID", "PatientName", "PatientBirthDate")}
    same |= {"IssuerOfPatientID": patient.get("IssuerOfPatientID", ""), "StudyInstanceUID": adult.study}
    report = fresh(other / "data_pydicom_test-SR.dcm", tmp_path, **same)
    dose = fresh(other / "data_pydicom_rtdose_1frame.dcm", tmp_path, **same)
    dcmsend(service.dicom_port, report.path, dose.path, adult.path)
    entry = wait_for(lambda: _with_images(service, adult.study, 3), "the report, the dose and the image")

    (alone,) = service.predictions(adult.path)
    assert chosen(entry) == chosen(alone)


def test_a_uid_that_differs_from_its_command_is_refused(service: Service, adult: Sent) -> None:
    dataset = read(adult.path)
    with RawPeer(service.dicom_port) as peer:
        peer.associate()
        peer.send_store(str(dataset.SOPClassUID), generate_uid(), encoded(dataset))
        assert peer.status() == 0xA900
    assert service.get(f"/api/worklist/{adult.study}")[0] == 404
    assert store(service.dicom_port, dataset) == [0x0000]
    service.tagged(adult.study)
