"""No bytes make the walk raise or continue without end, and of intact data sets it reads what pydicom reads."""

from __future__ import annotations

import warnings
from io import BytesIO
from struct import pack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from tests.support.dicom_peer import encoded
from tests.support.faulty_data_sets import Sent, refused, scored, whole
from triage.dicom.byte_source import MemorySource, OpenFileSource
from triage.dicom.data_set import read_data_set, read_header, survey_file
from triage.dicom.element_walk import Walk
from triage.dicom.fault import Fault, Kind
from triage.dicom.header_scan import read_identity
from triage.dicom.uid import InvalidUIDError, valid_uid
from triage.radiograph.decode import open_dicom
from triage.radiograph.types import Rejected

PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
SYNTAXES = (*PLAIN, DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit)
FILES = {syntax: Sent("", whole(syntax), syntax, "").file for syntax in SYNTAXES}
ODD = [each.file for each in (*scored(), *refused())]


def walked(data: bytes, *, implicit: bool = False) -> tuple[Fault, ...]:
    walk = Walk(MemorySource(data), 0, implicit=implicit)
    for _ in walk.elements():
        pass
    return walk.faults


@settings(max_examples=300, derandomize=True)
@given(st.binary(max_size=600), st.booleans(), st.booleans())
def test_any_bytes_are_walked_over(data: bytes, implicit: bool, big_endian: bool) -> None:
    walk = Walk(MemorySource(data), 0, implicit=implicit, big_endian=big_endian)
    elements = list(walk.elements())
    assert all(each.end <= len(data) for each in elements)
    again = Walk(MemorySource(data), 0, implicit=implicit, big_endian=big_endian)
    assert again.passes() == (not walk.faults and walk.orderly)
    assert sum(fault.ends for fault in walk.faults) <= 1


class Mutated:
    """A file that was changed; too long to be shown."""

    def __init__(self, file: bytes) -> None:
        self.file = file

    @property
    def begin(self) -> int:
        return 144 + int.from_bytes(self.file[140:144], "little")

    @property
    def transfer_syntax_uid(self) -> str:
        return str(dcmread(BytesIO(self.file[: self.begin])).file_meta.TransferSyntaxUID)


@st.composite
def mutated(draw: Any) -> Mutated:
    """A file of ours with bytes changed, lost, repeated or put in, mostly before its pixels, and perhaps cut."""
    file = bytearray(draw(st.one_of(st.sampled_from(list(FILES.values())), st.sampled_from(ODD))))
    begin = Mutated(bytes(file)).begin
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.one_of(st.integers(begin, begin + 900), st.integers(begin, len(file))))
        match draw(st.sampled_from(("change", "lose", "repeat", "put in"))):
            case "change":
                file[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "lose":
                del file[at : at + draw(st.integers(1, 40))]
            case "repeat":
                file[at:at] = file[at : at + draw(st.integers(1, 200))]
            case _:
                special = (
                    b"\xfe\xff\x0d\xe0" + bytes(4),
                    b"\xfe\xff\xdd\xe0" + bytes(4),
                    b"\xff\xff\xff\xff",
                    b"SQ\0\0",
                )
                file[at:at] = draw(st.one_of(st.binary(max_size=12), st.sampled_from(special)))
    end = draw(st.one_of(st.none(), st.integers(begin, len(file))))
    return Mutated(bytes(file[:end]))


@settings(max_examples=400, derandomize=True)
@given(mutated())
def test_a_mutated_file_is_read_up_to_its_fault(case: Mutated) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mended, found = read_data_set(case.file)
        again = survey_file(MemorySource(mended.buffer.getvalue()))
        header = read_header(BytesIO(case.file))
    assert again is None or not any(fault.ends for fault in again.faults)
    assert "PixelData" not in header
    if found is not None and found.walked is None:
        walk = found.walk()
        assert len(list(walk.elements())) and walk.orderly and not walk.faults


@settings(max_examples=400, derandomize=True)
@given(mutated())
def test_listener_and_worker_agree_on_which_object_it_is(case: Mutated) -> None:
    identity = read_identity(BytesIO(case.file[case.begin :]), case.transfer_syntax_uid)
    uids = (identity.study_instance_uid, identity.sop_instance_uid, identity.sop_class_uid)
    try:
        for uid in uids:
            valid_uid(uid)
    except InvalidUIDError:
        return
    found = open_dicom(case.file)
    assert not isinstance(found, Rejected), found
    assert (found[1].study_instance_uid, found[1].sop_instance_uid, found[1].sop_class_uid) == uids


nested = st.recursive(
    st.dictionaries(st.sampled_from(("PatientName", "StudyDescription", "PatientID")), st.text("AB^ ", max_size=9)),
    lambda inner: st.dictionaries(
        st.sampled_from(("RequestAttributesSequence", "ViewCodeSequence", "ReferencedStudySequence")),
        st.lists(inner, max_size=3),
        max_size=2,
    ),
    max_leaves=8,
)


def _dataset(values: dict[str, Any], undefined: bool) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        if isinstance(value, list):
            setattr(made, keyword, Sequence([_dataset(each, undefined) for each in value]))
            made[keyword].is_undefined_length = undefined
        else:
            setattr(made, keyword, value)
    made.is_undefined_length_sequence_item = undefined
    return made


@settings(max_examples=150, derandomize=True)
@given(nested, st.sampled_from(PLAIN), st.booleans())
def test_no_fault_is_found_in_what_pydicom_writes(values: dict[str, Any], syntax: str, undefined: bool) -> None:
    made = _dataset({"SOPClassUID": "1.2", "Modality": "DX", **values}, undefined)
    file = Sent("", encoded(made, syntax), syntax, "").file

    dataset, found = read_data_set(file)

    assert found is not None and found.faults == () and found.orderly
    assert dataset == dcmread(BytesIO(file))
    assert found.data_set(longest=1 << 20) == dataset  # put together by us it is the same
    assert survey_file(OpenFileSource(BytesIO(file))) is not None


def test_sequences_without_end_are_given_up() -> None:
    nested = b"\x08\x00\x10\x11" + b"\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0" + b"\xff\xff\xff\xff"

    (fault,) = walked(nested * 100_000, implicit=True)

    assert (fault.kind, fault.ends) == (Kind.TOO_DEEP, True)


def test_faults_without_end_are_given_up() -> None:
    spaces = b"".join(pack("<HH2sH", 0x0029, number, b"  ", 2) + b"ab" for number in range(20_000))

    faults = walked(pack("<HH2sH", 8, 5, b"CS", 2) + b"  " + spaces + pack("<HH2sH", 0x0031, 1, b"LO", 0))

    assert faults[-1].ends and len(faults) <= 1001


def test_elements_without_end_are_given_up() -> None:
    faults = walked(pack("<HHL", 0x0011, 0x0010, 0) * 1_000_001, implicit=True)

    assert [fault.kind for fault in faults] == [Kind.TOO_MANY]


@pytest.mark.parametrize("lengths", [b"\x02\x00ab", b"\x00\x00\x02\x00\x00\x00ab"], ids=["16 bits", "32 bits"])
def test_a_vr_that_is_none_has_the_length_that_leads_to_an_element(lengths: bytes) -> None:
    after = pack("<HH2sH", 0x0040, 0x1003, b"SH", 4) + b"STAT"
    walk = Walk(MemorySource(pack("<HH", 0x0029, 0x0010) + b"??" + lengths + after), 0, implicit=False)

    private, priority = walk.elements()

    assert private.end - private.value_at == 2 and priority.tag == 0x00401003
    assert [fault.kind for fault in walk.faults] == [Kind.VR]


def test_where_two_lengths_lead_to_elements_none_is_taken() -> None:
    inner = pack("<HH2sH", 0x0029, 0x1002, b"LO", 0)
    value = inner + bytes(0x3F3F - len(inner))
    first = pack("<HH2sH", 0x0008, 0x0005, b"CS", 0)
    after = pack("<HH2sH", 0x0040, 0x1003, b"SH", 0)
    walk = Walk(MemorySource(first + pack("<HH", 0x0029, 0x1001) + b"??\0\0" + value + after), 0, implicit=False)

    assert [each.tag for each in walk.elements()] == [0x00080005]
    assert [fault.kind for fault in walk.faults] == [Kind.NO_ELEMENT]


def test_a_big_endian_set_whose_beginning_is_lost_is_not_read_as_implicit() -> None:
    """No transfer syntax is implicit and big-endian: written down again so, its numbers would be turned round."""
    file = bytearray(FILES[ExplicitVRBigEndian])
    begin = Mutated(bytes(file)).begin
    del file[begin + 4 : begin + 6]  # the first element's VR
    found = survey_file(MemorySource(bytes(file)))
    assert found is not None and found.faults and not found.implicit
    mended, _ = read_data_set(bytes(file))
    again = survey_file(MemorySource(mended.buffer.getvalue()))
    assert again is None or not any(fault.ends for fault in again.faults)
