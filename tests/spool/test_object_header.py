"""A header is believed if it is the one that was received, and no other names a patient."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from pydicom.dataset import Dataset

from tests.support.studies import a_radiograph, a_study, add_image, settle
from triage.channels.hl7.message import order_of
from triage.decision.identity import PatientMarks
from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.dicom.attribute_text import text_of
from triage.dicom.identity import ORDER_NUMBERS, patient_marks
from triage.spool.instance import ReceivedInstance
from triage.spool.patient import patient_of
from triage.spool.spool import Spool
from triage.spool.study import Study, read_study, read_whole_study

RECEIVED = {"PatientName": "DOE^JANE", "PatientID": "P-1", "PatientBirthDate": "19500101", "AccessionNumber": "ACC-1"}
ALTERED = [(b"P-1 ", b"P-2 "), (b"DOE^JANE", b"ROE^JANE"), (b"19500101", b"19500102"), (b"ACC-1 ", b"ACC-2 ")]


def _file(spool: Spool, study: str) -> Path:
    (path,) = spool.study_folder(study).glob("*.dcm")
    return path


def _alter(spool: Spool, study: str, before: bytes, after: bytes) -> None:
    path = _file(spool, study)
    content = path.read_bytes()
    assert content.count(before) == 1
    path.write_bytes(content.replace(before, after))


@pytest.mark.parametrize(("before", "after"), ALTERED)
def test_an_altered_header_names_no_patient_and_the_log_names_the_object(
    spool: Spool, caplog: pytest.LogCaptureFixture, before: bytes, after: bytes
) -> None:
    study = a_study(spool, attributes=RECEIVED)
    _alter(spool, study, before, after)

    found = read_study(spool, study)
    assert found is not None and not found[1][0].has_header
    assert text_of(found[1][0].header, "PatientID") == "" and patient_of(spool, study).name == ""
    with pytest.raises(OSError, match="not those that were received") as raised:
        read_whole_study(spool, study)
    assert raised.value.errno == errno.EIO
    assert f"study {study}, object {found[1][0].assessment.sop_instance_uid}" in caplog.text
    assert not any(text in caplog.text for text in ("P-1", "P-2", "JANE"))


def _requested(keyword: str) -> Dataset:
    request = Dataset()
    setattr(request, keyword, "PL-1 ")
    return request


@pytest.mark.parametrize(
    "attributes",
    [
        {ORDER_NUMBERS[0]: "PL-1"},
        {ORDER_NUMBERS[1]: "PL-1"},
        {"RequestAttributesSequence": [_requested(ORDER_NUMBERS[0])]},
        {"AccessionNumber": "", "RequestAttributesSequence": [_requested("AccessionNumber")]},
    ],
)
def test_an_altered_number_of_another_kind_names_no_other_order(spool: Spool, attributes: dict[str, Any]) -> None:
    study = a_study(spool, attributes={**RECEIVED, **attributes})
    known = read_whole_study(spool, study)
    assert known is not None and "PL-1" in order_of(Study(*known, now=0.0)).__dict__.values()
    _alter(spool, study, b"PL-1", b"PL-2")
    with pytest.raises(OSError, match="not those that were received"):
        read_whole_study(spool, study)
    known = read_study(spool, study)
    assert known is not None and not {"PL-1", "PL-2"} & set(order_of(Study(*known, now=0.0)).__dict__.values())


def _worker_failed(image: Any) -> dict[str, Any]:
    """The assessment of an object whose header was altered when a worker gave it up."""
    image.PatientID = "P-2"
    return {"patient": patient_marks(image), "reasons": (Reason.WORKER_FAILURE,)}


@pytest.mark.parametrize("facts", [lambda _: {"patient": PatientMarks()}, _worker_failed])
def test_where_the_assessment_knows_no_compared_patient_all_bytes_are_compared(
    spool: Spool, facts: Callable[[Any], dict[str, Any]]
) -> None:
    study = "1.2.3"
    changes = facts(a_radiograph(study, **RECEIVED))
    add_image(spool, a_radiograph(study, **RECEIVED), tag=Tag.NOT_ASSESSED, probability=None, **changes)
    settle(spool, study)
    assert patient_of(spool, study).patient_id == "P-1"
    _alter(spool, study, b"P-1 ", b"P-2 ")
    assert patient_of(spool, study).patient_id == ""


class _AlteringOnce:
    """A stored object whose header changes on the way, and whose bytes are right when all are fetched."""

    def __init__(self, stored: Any, folder: Path) -> None:
        self._stored, self._folder = stored, folder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stored, name)

    def open(self, mode: str = "rb") -> BinaryIO:
        on_the_way = self._folder / "on the way"
        on_the_way.write_bytes(self._stored.read_bytes().replace(b"P-1 ", b"P-2 "))
        return on_the_way.open("rb")


def test_what_changed_on_the_way_is_read_again(spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = a_study(spool, attributes=RECEIVED)
    find = Spool.stored_object

    def altering(self: Spool, instance: ReceivedInstance) -> Any:
        return _AlteringOnce(find(self, instance), tmp_path)

    monkeypatch.setattr(Spool, "stored_object", altering)
    assert patient_of(spool, study).patient_id == "P-1"


def test_a_file_that_is_gone_is_no_study_without_a_patient(spool: Spool) -> None:
    study = a_study(spool, attributes=RECEIVED)
    _file(spool, study).unlink()
    with pytest.raises(FileNotFoundError):
        read_whole_study(spool, study)
    found = read_study(spool, study)
    assert found is not None and found[1][0].unread


def test_a_study_that_was_removed_is_none(spool: Spool) -> None:
    study = a_study(spool, attributes=RECEIVED)
    with spool.study_lock(study):
        spool.remove_study(study)
        assert read_whole_study(spool, study) is None
