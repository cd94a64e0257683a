"""The file around a data set, the walk to its UIDs, and command sets: against pydicom."""

from __future__ import annotations

import warnings
import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

from tests.support.dicom_peer import DX, a_data_set, command, encoded, response_status
from triage.dicom.command_set import CANNOT_UNDERSTAND, decode, response
from triage.dicom.header_scan import ScannedIdentity, read_identity
from triage.dicom.part10 import Receipt, header, read_receipt

RECEIPT = Receipt(1700000000.25, "MY_PACS", "CXR_TRIAGE", "10.1.2.3", ExplicitVRLittleEndian)


def identity_of(dataset: Dataset) -> ScannedIdentity:
    return ScannedIdentity(dataset.StudyInstanceUID, dataset.SOPInstanceUID, dataset.SOPClassUID)


def test_the_file_is_one_that_pydicom_reads(tmp_path: Path):
    sent = a_data_set()
    path = tmp_path / "object.dcm"
    path.write_bytes(header(DX, sent.SOPInstanceUID, ExplicitVRLittleEndian, RECEIPT) + encoded(sent))

    found = dcmread(path)

    assert found == sent
    assert found.file_meta.MediaStorageSOPInstanceUID == sent.SOPInstanceUID
    assert found.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert found.file_meta.SourceApplicationEntityTitle == "MY_PACS"


def test_the_receipt_is_read_as_it_was_written(tmp_path: Path):
    path = tmp_path / "object.dcm"
    path.write_bytes(header(DX, "1.2.3", ExplicitVRLittleEndian, RECEIPT))

    assert read_receipt(path) == replace(RECEIPT, sop_class_uid=DX)


def test_names_that_are_no_uids_stay_out_of_the_header(tmp_path: Path):
    path = tmp_path / "object.dcm"
    path.write_bytes(header("../../x", "JANE^DOE", ExplicitVRLittleEndian, RECEIPT))

    assert "MediaStorageSOPInstanceUID" in (meta := dcmread(path).file_meta)
    assert not meta.MediaStorageSOPInstanceUID
    assert b"JANE" not in path.read_bytes()


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("undefined", [False, True], ids=["defined", "undefined"])
def test_identity_behind_sequences(syntax: str, undefined: bool):
    inner = Dataset()
    inner.StudyInstanceUID = "9.9.9"  # that of another study
    inner.ReferencedSOPInstanceUID = "9.9"
    outer = Dataset()
    outer.ReferencedSeriesSequence = Sequence([inner, inner])
    sent = a_data_set(SpecificCharacterSet="NO SUCH SET")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sent.ReferencedStudySequence = Sequence([outer, Dataset()])
        for element in (sent["ReferencedStudySequence"], outer["ReferencedSeriesSequence"]):
            element.is_undefined_length = undefined
        for item in (inner, outer):
            item.is_undefined_length_sequence_item = undefined
        data = encoded(sent, syntax)

    assert read_identity(BytesIO(data), syntax) == identity_of(sent)


def test_identity_of_a_deflated_data_set():
    sent = a_data_set(PixelData=bytes(4_000_000))
    sent.add_new(0x00110010, "LO", "OURS")
    sent.add_new(0x00111001, "OB", bytes(3_000_000))
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    data = packer.compress(encoded(sent)) + packer.flush()

    assert read_identity(BytesIO(data), DeflatedExplicitVRLittleEndian) == identity_of(sent)


def test_a_deflate_bomb_is_given_up():
    dataset = Dataset()
    dataset.add_new(0x00110010, "LO", "OURS")
    dataset.add_new(0x00111001, "OB", bytes(70 * 1024 * 1024))
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    data = packer.compress(encoded(dataset)) + packer.flush()

    assert read_identity(BytesIO(data), DeflatedExplicitVRLittleEndian) == ScannedIdentity()


@pytest.mark.parametrize(
    "negotiated, real",
    [(ImplicitVRLittleEndian, ExplicitVRLittleEndian), (ExplicitVRLittleEndian, ImplicitVRLittleEndian)],
)
def test_a_data_set_encoded_otherwise_than_negotiated_is_read(negotiated: str, real: str):
    sent = a_data_set()

    assert read_identity(BytesIO(encoded(sent, real)), negotiated) == identity_of(sent)


def test_what_comes_behind_the_study_is_not_read():
    sent = a_data_set()
    head = encoded(
        a_data_set(**{e.keyword: e.value for e in sent if e.tag <= 0x0020000D}, PixelData=None, SeriesInstanceUID=None)
    )

    found = read_identity(BytesIO(head + b"garbage, and nothing else"), ExplicitVRLittleEndian)

    assert found.sop_instance_uid == sent.SOPInstanceUID


@given(
    st.binary(max_size=400),
    st.sampled_from([ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]),
)
def test_any_bytes_have_an_identity_or_an_empty_one(data: bytes, syntax: str):
    assert isinstance(read_identity(BytesIO(data), syntax), ScannedIdentity)


# Made once: its UIDs are random, and so is its length.
A_DATA_SET = encoded(a_data_set(PixelData=None))


@given(st.data())
def test_a_mutated_data_set_has_an_identity_or_part_of_one(data: st.DataObject):
    whole = bytearray(A_DATA_SET)
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(read_identity(BytesIO(bytes(whole)), ExplicitVRLittleEndian), ScannedIdentity)


def test_a_uid_that_is_cut_is_none():
    data = encoded(sent := a_data_set())
    at = data.index(str(sent.StudyInstanceUID).encode())

    found = read_identity(BytesIO(data[: at + 10]), ExplicitVRLittleEndian)

    assert found == ScannedIdentity(sop_instance_uid=sent.SOPInstanceUID, sop_class_uid=sent.SOPClassUID)


def test_a_command_set_is_decoded_and_answered():
    uid = generate_uid()

    request = decode(command(0x0001, DX, uid))

    assert (request.field, request.message_id, request.has_data_set) == (0x0001, 7, True)
    assert (request.sop_class_uid, request.sop_instance_uid) == (DX, uid)
    assert response_status(response(request, CANNOT_UNDERSTAND, "why")) == CANNOT_UNDERSTAND


@given(st.binary(max_size=200))
def test_any_bytes_are_a_command_or_a_value_error(data: bytes):
    try:
        decode(data)
    except ValueError:
        return
