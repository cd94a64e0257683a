"""Damaged data sets: what is read of them, and whether their pixels are looked at."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from tests.support.dicom_peer import encoded
from tests.support.faulty_data_sets import ACCESSION, NAME, Sent, an_order, compressed, refused, scored, whole
from triage.decision.reasons import Reason
from triage.dicom.header_scan import read_identity
from triage.radiograph.attributes import read_attributes
from triage.radiograph.decode import decode_pixels, open_dicom
from triage.radiograph.encoding_faults import describes_an_image
from triage.radiograph.types import Attributes, Radiograph, Rejected
from triage.scoring.assess import AssessmentPolicy, prepare

SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
)
SCORED, REFUSED = list(scored()), list(refused())


def name(sent: Sent) -> str:
    return sent.name


def opened(sent: Sent) -> tuple[Dataset, Attributes]:
    found = open_dicom(sent.file)
    assert not isinstance(found, Rejected), found
    return found


@pytest.mark.parametrize("sent", SCORED, ids=name)
def test_what_is_odd_and_certain_shows_the_image_that_was_meant(sent: Sent) -> None:
    dataset, attributes = opened(sent)
    meant = an_order() if sent.transfer_syntax_uid == ExplicitVRLittleEndian else compressed()
    whole_one = opened(Sent("", whole(sent.transfer_syntax_uid), sent.transfer_syntax_uid, ""))
    image, meant_image = decode_pixels(dataset, attributes), decode_pixels(*whole_one)

    assert attributes == whole_one[1]
    assert isinstance(image, Radiograph) and isinstance(meant_image, Radiograph)
    assert np.array_equal(image.pixels, meant_image.pixels)
    assert dataset.PatientName == meant.PatientName


@pytest.mark.parametrize("sent", REFUSED, ids=name)
def test_what_is_damaged_is_undecodable_and_keeps_its_order(sent: Sent) -> None:
    dataset, attributes = opened(sent)
    rejected = decode_pixels(dataset, attributes)

    assert isinstance(rejected, Rejected) and rejected.reason is Reason.UNDECODABLE
    assert rejected.detail.startswith(f"the data set is damaged: {sent.detail}")
    assert attributes.accession_number == ACCESSION
    assert dataset.PatientName == NAME
    if "PresentationLUTShape: cut" not in sent.detail:
        assert attributes.order_priority == "STAT"


@pytest.mark.parametrize("sent", [*SCORED, *REFUSED], ids=name)
def test_the_listener_knows_the_object_that_the_worker_reads(sent: Sent) -> None:
    identity = read_identity(BytesIO(sent.data_set), sent.transfer_syntax_uid)
    _, attributes = opened(sent)

    assert identity.study_instance_uid == attributes.study_instance_uid == an_order().StudyInstanceUID
    assert identity.sop_instance_uid == attributes.sop_instance_uid == an_order().SOPInstanceUID
    assert identity.sop_class_uid == attributes.sop_class_uid == an_order().SOPClassUID


@pytest.mark.parametrize("sent", [*SCORED, *REFUSED], ids=name)
def test_no_value_is_in_the_detail(sent: Sent) -> None:
    _, attributes = opened(sent)
    values = [str(element.value) for element in an_order() if element.VR not in ("US", "IS", "OW", "SQ")]
    values += ["VENDOR", "REQUEST", "NOTHING", "CHEST PA"]

    assert not any(len(value) > 3 and value in attributes.damage for value in values)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_an_intact_data_set_is_what_pydicom_reads(syntax: str) -> None:
    sent = Sent("", whole(syntax), syntax, "")
    dataset, attributes = opened(sent)
    pydicoms = dcmread(BytesIO(sent.file))

    assert dataset == pydicoms
    assert dataset.file_meta == pydicoms.file_meta
    assert attributes == read_attributes(pydicoms, syntax)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_wherever_it_is_cut_no_half_value_is_taken(syntax: str) -> None:
    data = whole(syntax)
    known = opened(Sent("", data, syntax, ""))[1]
    ends = range(40, min(len(data), 2000), 7)
    for end in [*ends, *range(2000, len(data), 997)]:
        found = open_dicom(Sent("", data[:end], syntax, "").file)
        if isinstance(found, Rejected):
            assert end < 200
            continue
        dataset, attributes = found
        assert isinstance(decode_pixels(dataset, attributes), Rejected), end
        for field in ("accession_number", "order_priority", "study_instance_uid", "series_instance_uid", "modality"):
            assert getattr(attributes, field) in ("", getattr(known, field)), (field, end)


def test_a_part_or_a_view_that_may_be_lost_leaves_no_image_out() -> None:
    """A lateral by View Position alone is listed and not counted; cut before its view codes it may be a frontal."""
    dataset = an_order()
    dataset.ViewPosition, dataset.PatientOrientation = "LL", ""
    for keyword in ("ViewCodeSequence", "ImageLaterality"):
        del dataset[keyword]
    data = encoded(dataset)
    cut_in_the_attributes, cut_in_the_pixels = data[: data.index(b"MONOCHROME2")], data[:-10]

    assert _reason(cut_in_the_attributes) is Reason.UNDECODABLE
    assert _reason(cut_in_the_pixels) is Reason.NOT_FRONTAL


def test_what_its_class_says_is_no_radiograph_counts_for_nothing_however_damaged() -> None:
    dataset = an_order()
    dataset.SOPClassUID, dataset.Modality = "1.2.840.10008.5.1.4.1.1.88.33", "SR"
    data = encoded(dataset)

    assert _reason(data[: data.index(b"MONOCHROME2")]) is Reason.NOT_A_RADIOGRAPH


def _reason(data: bytes) -> Reason | None:
    prepared = prepare(Sent("", data, ExplicitVRLittleEndian, "").file, {}, AssessmentPolicy())
    return prepared.rejected.reason if prepared.rejected else None


class _Recording(Dataset):
    """A data set that records which of its elements are read."""

    asked: set[int]

    def __contains__(self, name: Any) -> bool:
        self._note(name)
        return super().__contains__(name)

    def __getitem__(self, key: Any) -> Any:
        self._note(key)
        return super().__getitem__(key)

    def __getattr__(self, name: str) -> Any:
        if name[:1].isupper():
            self._note(name)
        return super().__getattr__(name)

    def _note(self, key: Any) -> None:
        if not isinstance(key, slice):
            try:
                self.__dict__.setdefault("asked", set()).add(int(Tag(key)))
            except ValueError:  # a name that is no attribute's
                return


ORDER = {
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "RequestAttributesSequence",
    "RequestedProcedurePriority",
}


@pytest.mark.parametrize("made", [an_order, compressed], ids=["native", "JPEG"])
def test_damage_to_whatever_scoring_reads_forbids_to_score(made: Any) -> None:
    dataset = _Recording(made())
    syntax = ExplicitVRLittleEndian if made is an_order else JPEGBaseline8Bit
    dataset.file_meta = dcmread(BytesIO(Sent("", b"", syntax, "").file)).file_meta
    attributes = read_attributes(dataset, syntax)
    dataset.ShutterShape = ["RECTANGULAR", "CIRCULAR", "POLYGONAL"]

    assert isinstance(decode_pixels(dataset, attributes), Radiograph | Rejected)  # type: ignore[arg-type]
    read = {tag for tag in dataset.asked if tag >> 16 not in (0x0002, 0xFFFE)}
    assert {Tag(name) for name in ORDER} < read
    assert {Tag("Rows"), Tag("ViewPosition"), Tag("ViewCodeSequence"), Tag("ShutterShape")} < read
    assert {tag for tag in read if not describes_an_image(tag)} == {int(Tag(name)) for name in ORDER}
