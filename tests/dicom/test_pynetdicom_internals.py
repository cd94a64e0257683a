"""Undocumented parts of pynetdicom that we use, tried with an SCP of the library: a release may change them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification

from tests.support.dicom_peer import DX, a_data_set, as_file
from triage.dicom.pynetdicom_internals import (
    await_answer,
    connected_socket,
    files_unparsed,
    is_complete,
    rejection,
    replace_reader,
)


class Scp:
    """A storage SCP that keeps the bytes of what it receives."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        entity = AE("SCP")
        entity.require_called_aet = True
        entity.add_supported_context(Verification)
        entity.add_supported_context(DX, ExplicitVRLittleEndian)
        self.server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)])
        self.port: int = self.server.server_address[1]

    def _store(self, event: Any) -> int:
        self.received.append(event.request.DataSet.getvalue())
        return 0x0000


@pytest.fixture(scope="module")
def scp() -> Iterator[Scp]:
    made = Scp()
    yield made
    made.server.shutdown()


@contextmanager
def associated(scp: Scp, called: str = "SCP", **more: Any) -> Iterator[Association]:
    entity = AE("US")
    entity.add_requested_context(Verification)
    entity.add_requested_context(DX, ExplicitVRLittleEndian)
    made = entity.associate("127.0.0.1", scp.port, ae_title=called, **more)
    await_answer(made)
    yield made
    if made.is_established:
        made.release()


def test_the_socket_of_an_association(scp: Scp) -> None:
    with associated(scp) as made:
        found = connected_socket(made)
        assert isinstance(found, socket.socket) and found.getpeername()[1] == scp.port
    assert connected_socket(made) is None


def test_every_byte_is_read_by_the_reader_that_was_set(scp: Scp) -> None:
    counts: list[int] = []

    def on_connected(event: Any) -> None:
        found = connected_socket(event.assoc)
        assert found is not None

        def read(count: int) -> bytearray:
            counts.append(count)
            return bytearray(found.recv(count, socket.MSG_WAITALL))

        replace_reader(event.assoc, read)

    with associated(scp, evt_handlers=[(evt.EVT_CONN_OPEN, on_connected)]) as made:
        before = len(counts)
        assert made.send_c_echo().Status == 0x0000
        assert counts[:before] and counts[before:], "for the acceptance, and for the response"
        assert counts[0] == 6, "the header of a PDU"


def test_an_acceptance_and_a_rejection(scp: Scp) -> None:
    with associated(scp) as made:
        assert is_complete(made) and rejection(made) is None
    with associated(scp, called="ANOTHER") as refused:
        assert rejection(refused) == (1, 7)
    with associated(scp, called="ANOTHER") as again:
        assert not again.is_alive() and not again.is_established


def test_a_file_goes_out_byte_for_byte(scp: Scp, tmp_path: Path) -> None:
    file = as_file(a_data_set(), tmp_path / "image.dcm")
    meta_end = 144 + int.from_bytes(file.read_bytes()[140:144], "little")
    odd = bytes.fromhex("09000100") + b"UN\0\0" + bytes.fromhex("02000000") + b"ab"  # before all else: out of order
    file.write_bytes(file.read_bytes() + odd)
    assert dcmread(file).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    with associated(scp) as made:
        with files_unparsed():
            assert made.send_c_store(file).Status == 0x0000
        assert scp.received[-1] == file.read_bytes()[meta_end:]
        assert not _config.STORE_SEND_CHUNKED_DATASET, "the library's own setting is restored"
        assert made.send_c_store(file).Status == 0x0000
        assert scp.received[-1] != file.read_bytes()[meta_end:], "without it the data set is decoded"
