"""File Meta Information: the same as pydicom reads, and no more than there is."""

from __future__ import annotations

from io import BytesIO

from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless

from tests.support.dicom_peer import DX, a_data_set, encoded
from triage.dicom.byte_source import MemorySource, OpenFileSource
from triage.dicom.file_meta import read_file_meta
from triage.dicom.part10 import Receipt, header, receipt_in


def a_file_of_another_program() -> bytes:
    sent = a_data_set()
    sent.file_meta = FileMetaDataset()
    sent.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    sent.file_meta.SourceApplicationEntityTitle = "CT7"
    sent.file_meta.PrivateInformationCreatorUID = "1.2.3"
    sent.file_meta.PrivateInformation = b"not ours"
    buffer = BytesIO()
    sent.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def test_values_and_the_place_of_the_data_set_are_those_of_pydicom():
    file = a_file_of_another_program()
    expected = dcmread(BytesIO(file)).file_meta

    for source in (MemorySource(file), OpenFileSource(BytesIO(file))):
        found = read_file_meta(source)
        assert found.is_file
        assert found.transfer_syntax_uid == expected.TransferSyntaxUID
        assert found.text(0x0016) == "CT7"
        assert {0x00020000 | number for number in found.values} == {int(each.tag) for each in expected}
        assert found.end == 144 + expected.FileMetaInformationGroupLength


def test_a_bare_data_set_begins_at_its_beginning():
    found = read_file_meta(MemorySource(encoded(a_data_set())))

    assert (found.is_file, found.end, dict(found.values), found.transfer_syntax_uid) == (False, 0, {}, "")


def test_what_is_not_ours_is_no_receipt_and_no_error():
    assert receipt_in(a_file_of_another_program(), "a file") == Receipt()
    assert receipt_in(encoded(Dataset()), "nothing") == Receipt()
    assert receipt_in(b"", "nothing") == Receipt()


def test_a_value_longer_than_any_of_ours_is_left_out():
    long = bytes.fromhex("0200 0201 4F42 0000") + (1 << 17).to_bytes(4, "little") + bytes(1 << 17)
    file = bytes(128) + b"DICM" + long

    found = read_file_meta(MemorySource(file))

    assert (found.end, dict(found.values)) == (len(file), {})


HEADER = header(DX, "1.2.3", JPEGLSLossless, Receipt(1.5, "CT7", "CXR_TRIAGE", "10.1.2.3", JPEGLSLossless))


@given(st.data())
def test_mutated_bytes_give_a_receipt_or_an_empty_one(data: st.DataObject):
    whole = bytearray(HEADER)
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    whole = whole[: data.draw(st.integers(0, len(whole)))]

    assert isinstance(receipt_in(bytes(whole), "mutated"), Receipt)
    assert read_file_meta(MemorySource(bytes(whole))).end <= len(whole) + (1 << 32)
