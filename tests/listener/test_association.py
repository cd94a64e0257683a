"""What one association may ask for and send: pynetdicom and plain sockets as peers, the spool as witness."""

from __future__ import annotations

import logging
import struct
import threading
from hashlib import sha256
from pathlib import Path

import pytest
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from pynetdicom import AE, build_role
from pynetdicom.pdu_primitives import AsynchronousOperationsWindowNegotiation, UserIdentityNegotiation
from pynetdicom.presentation import build_context

from tests.support.dicom_peer import DX, RawPeer, a_data_set, association, command, encoded, running_listener, store
from tests.support.wait import wait_for
from triage.dicom.part10 import read_receipt
from triage.metrics.labels import Ending, StoreOutcome
from triage.radiograph.decode import TRANSFER_SYNTAXES
from triage.spool import file_objects
from triage.spool.spool import Spool
from triage.spool.usage import HighWater

VERIFICATION = "1.2.840.10008.1.1"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
ABORT, RELEASE_RP, REJECT, ACCEPT = 0x07, 0x06, 0x03, 0x02


def test_echo(spool: Spool):
    with running_listener(spool) as ours, association(ours.port) as made:
        assert made.send_c_echo().Status == 0x0000


def test_an_object_is_stored_byte_for_byte_with_its_receipt(spool: Spool):
    sent = a_data_set()
    with running_listener(spool) as ours:
        assert store(ours.port, sent, calling="MY_PACS") == [0x0000]

        (instance,) = ours.inbox
        assert ours.data_set(instance) == encoded(sent)
        assert instance.content_digest == sha256(encoded(sent)).hexdigest()
        assert (instance.study_instance_uid, instance.sop_instance_uid) == (sent.StudyInstanceUID, sent.SOPInstanceUID)
        receipt = read_receipt(spool.inbox_path(instance))
        assert (receipt.calling_ae_title, receipt.called_ae_title, receipt.peer) == (
            "MY_PACS",
            "CXR_TRIAGE",
            "127.0.0.1",
        )
        wait_for(lambda: ours.enqueued == [instance], "the object to be enqueued")
        assert not ours.parts


def test_a_large_object_is_on_its_way_to_the_disk_before_its_end(spool: Spool, monkeypatch: pytest.MonkeyPatch):
    sent = a_data_set()
    sent.PixelData = b"\x01\x02" * 2_500_000
    ranges: list[tuple[int, int]] = []
    monkeypatch.setattr(file_objects, "begin_writing_out", lambda _, start, length: ranges.append((start, length)))
    with running_listener(spool) as ours:
        assert store(ours.port, sent) == [0x0000]
        (instance,) = ours.inbox
        assert ours.data_set(instance) == encoded(sent)
        head = spool.inbox_path(instance).stat().st_size - len(encoded(sent))
    ends = [start + length for start, length in ranges]
    assert [0, *ends[:-1]] == [start for start, _ in ranges]
    assert len(ranges) >= 4 and head + 4_000_000 < ends[-1] <= head + len(encoded(sent))


@pytest.mark.parametrize("syntax", TRANSFER_SYNTAXES)
def test_every_transfer_syntax_is_taken_and_its_bytes_kept(spool: Spool, syntax: str):
    sent = a_data_set()
    # What the pixels are encoded in is nothing to the listener: the head must be readable.
    data = encoded(sent, syntax)
    if syntax == DeflatedExplicitVRLittleEndian:
        import zlib

        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = packer.compress(data) + packer.flush()
    with running_listener(spool) as ours, RawPeer(ours.port) as peer:
        assert peer.associate(syntax)[0] == ACCEPT
        peer.send_store(DX, sent.SOPInstanceUID, data)
        assert peer.status() == 0x0000

        (instance,) = ours.inbox
        assert ours.data_set(instance) == data
        assert read_receipt(spool.inbox_path(instance)).transfer_syntax_uid == syntax
        assert ours.counted("objects_received_total", transfer_syntax=syntax, outcome=StoreOutcome.STORED) == 1


def test_our_order_of_transfer_syntaxes_wins(spool: Spool):
    theirs = [JPEG2000, ImplicitVRLittleEndian, ExplicitVRLittleEndian]
    with running_listener(spool) as ours, association(ours.port, contexts=[(DX, theirs)]) as made:
        assert [cx.transfer_syntax for cx in made.accepted_contexts] == [[TRANSFER_SYNTAXES[0]]]


def test_storage_classes_of_all_kinds_are_taken_and_nothing_else(spool: Spool):
    storage = [
        SecondaryCaptureImageStorage,
        GrayscaleSoftcopyPresentationStateStorage,
        KeyObjectSelectionDocumentStorage,
        EnhancedSRStorage,
        "1.2.840.10008.5.1.4.1.1.3",  # retired
        "1.3.12.2.1107.5.9.1",  # private
    ]
    contexts = [(uid, [ExplicitVRLittleEndian]) for uid in [*storage, FIND]]
    with running_listener(spool) as ours, association(ours.port, contexts=contexts) as made:
        assert {str(cx.abstract_syntax) for cx in made.accepted_contexts} == set(storage)
        assert [str(cx.abstract_syntax) for cx in made.rejected_contexts] == [FIND]


def test_roles_identity_and_windows_that_a_peer_asks_for(spool: Spool):
    identity = UserIdentityNegotiation()
    identity.user_identity_type, identity.primary_field, identity.positive_response_requested = 1, b"somebody", True
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = window.maximum_number_operations_performed = 5
    ae = AE("MODALITY")
    with running_listener(spool) as ours:
        made = ae.associate(
            "127.0.0.1",
            ours.port,
            contexts=[build_context(DX, ExplicitVRLittleEndian)],
            ext_neg=[build_role(DX, scu_role=True, scp_role=True), identity, window],
        )
        assert made.is_established
        assert made.acceptor.asynchronous_operations == (1, 1)
        (role,) = made.acceptor.role_selection.values()
        assert (role.scu_role, role.scp_role) == (True, False)
        made.release()


def test_the_same_object_twice_is_one_and_other_pixels_are_another(spool: Spool):
    first = a_data_set()
    other = a_data_set(
        StudyInstanceUID=first.StudyInstanceUID, SOPInstanceUID=first.SOPInstanceUID, PixelData=b"other pixels"
    )
    first.SeriesInstanceUID = other.SeriesInstanceUID
    with running_listener(spool) as ours:
        assert store(ours.port, first, first, other, first) == [0x0000] * 4

        assert {ours.data_set(instance) for instance in ours.inbox} == {encoded(first), encoded(other)}
        assert len(ours.inbox) == 2
        syntax = {"transfer_syntax": str(ExplicitVRLittleEndian)}
        assert ours.counted("objects_received_total", outcome=StoreOutcome.DUPLICATE, **syntax) == 2
        wait_for(lambda: len(ours.enqueued) == 2, "both to be enqueued, once")


@pytest.mark.parametrize("announced", [{"sop_instance": "1.2.3.4"}, {"sop_class": SecondaryCaptureImageStorage}])
def test_a_data_set_that_is_not_the_announced_one_is_refused(spool: Spool, announced: dict[str, str]):
    sent = a_data_set()
    names = {"sop_class": DX, "sop_instance": str(sent.SOPInstanceUID), **announced}
    with running_listener(spool) as ours, RawPeer(ours.port) as peer:
        peer.associate()
        peer.send_store(names["sop_class"], names["sop_instance"], encoded(sent))

        assert peer.status() == 0xA900
        assert not ours.inbox
        assert not ours.parts


@pytest.mark.parametrize(
    "data",
    [
        b"this is no data set at all, and never was",
        b"\x00",
        encoded(a_data_set(StudyInstanceUID=None)),
        encoded(a_data_set(SOPInstanceUID=None)),
    ],
    ids=["text", "one byte", "no study", "no instance"],
)
def test_what_cannot_be_parsed_is_quarantined(spool: Spool, data: bytes):
    with running_listener(spool) as ours, RawPeer(ours.port) as peer:
        peer.associate()
        peer.send_store(DX, "1.2.3.4", data)

        assert peer.status() == 0xC000
        (kept,) = spool.quarantined.glob("*.dcm")
        assert kept.read_bytes().endswith(data)
        assert not ours.inbox
        assert not ours.parts


@pytest.mark.parametrize("uid", ["../../x", "/etc/passwd", "1.2.3/../4", "1" * 65, "1..2", "1.2\x00.3", "a"])
@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID"])
def test_names_that_are_no_uids_touch_no_path(spool: Spool, uid: str, keyword: str):
    before = sorted(spool.root.parent.iterdir())
    sent = a_data_set(**{keyword: "9.8.7"})
    data = encoded(sent).replace(
        struct.pack("<H", 6) + b"9.8.7\0",
        struct.pack("<H", len(uid) + len(uid) % 2) + uid.encode() + b"\0" * (len(uid) % 2),
    )
    announced = uid if keyword == "SOPInstanceUID" else str(sent.SOPInstanceUID)
    with running_listener(spool) as ours, RawPeer(ours.port) as peer:
        peer.associate()
        peer.send_store(DX, announced, data)

        assert peer.status() == 0xC000
        assert not ours.inbox
        assert len(list(spool.quarantined.glob("*.dcm"))) == 1
    assert sorted(spool.root.parent.iterdir()) == before


def test_above_the_high_water_mark_objects_are_refused_and_later_taken(spool: Spool):
    sent = a_data_set()
    with running_listener(spool, high_water=HighWater(1.0, 1 << 60)) as ours:
        assert store(ours.port, sent, sent) == [0xA700, 0xA700]
        assert not ours.inbox
        assert not ours.parts
        assert ours.counted("high_water_refusals_total") == 2
    with running_listener(spool) as ours:
        assert store(ours.port, sent) == [0x0000]
        assert len(ours.inbox) == 1


def test_a_store_without_a_data_set_fails(spool: Spool):
    with running_listener(spool) as ours, RawPeer(ours.port) as peer:
        peer.associate()
        peer.send_fragment(1, 0x03, command(0x0001, DX, "1.2.3", has_data_set=False))

        assert peer.status() == 0xC000
        peer.send_fragment(3, 0x03, command(0x0030, VERIFICATION, "", has_data_set=False))
        assert peer.status() == 0x0000


def test_other_requests_are_unrecognized_with_and_without_a_data_set(spool: Spool):
    with running_listener(spool) as ours, RawPeer(ours.port) as peer:
        peer.associate()
        peer.send_fragment(1, 0x03, command(0x0020, FIND, ""))
        peer.send_fragment(1, 0x02, b"a query")
        assert peer.status() == 0x0211
        peer.send_fragment(1, 0x03, command(0x0150, DX, "1.2.3", has_data_set=False))
        assert peer.status() == 0x0211


def test_a_cancel_is_ignored(spool: Spool):
    with running_listener(spool) as ours, RawPeer(ours.port) as peer:
        peer.associate()
        peer.send_fragment(3, 0x03, command(0x0FFF, "", "", has_data_set=False))
        peer.send_fragment(3, 0x03, command(0x0030, VERIFICATION, "", has_data_set=False))

        assert peer.status() == 0x0000


@pytest.mark.parametrize("size", [1, 7, 16000])
def test_fragments_of_any_size_and_several_in_a_pdu(spool: Spool, size: int):
    sent = a_data_set(PixelData=b"some pixels.")
    data = encoded(sent)
    whole = command(0x0001, DX, str(sent.SOPInstanceUID))
    pieces = [(1, whole[start : start + 50]) for start in range(0, len(whole), 50)]
    pieces += [(0, data[start : start + size]) for start in range(0, len(data), size)]
    last_command = sum(control for control, _ in pieces) - 1
    body = b""
    for number, (control, piece) in enumerate(pieces):
        last = 2 if number in (last_command, len(pieces) - 1) else 0
        body += struct.pack(">LBB", len(piece) + 2, 1, control | last) + piece
    with running_listener(spool) as ours, RawPeer(ours.port) as peer:
        peer.associate()
        peer.send_pdu(0x04, body)

        assert peer.status() == 0x0000
        assert ours.data_set(ours.inbox[0]) == data


def test_release_and_abort_are_counted_as_what_they_are(spool: Spool):
    with running_listener(spool) as ours:
        with RawPeer(ours.port) as peer:
            peer.associate()
            peer.send_pdu(0x05, bytes(4))
            assert peer.receive()[0] == RELEASE_RP
        with RawPeer(ours.port) as peer:
            peer.associate()
            peer.send_pdu(0x07, bytes(4))
        for how in (Ending.RELEASED, Ending.ABORTED_BY_PEER):
            wait_for(lambda how=how: ours.counted("associations_ended_total", how=how) == 1, how)
        assert ours.counted("associations_open") == 0


@pytest.mark.parametrize("how", ["closed", "reset", "aborted"])
def test_an_association_that_ends_in_mid_object_leaves_nothing(spool: Spool, how: str):
    with running_listener(spool) as ours:
        with RawPeer(ours.port) as peer:
            peer.associate()
            peer.send_fragment(1, 0x03, command(0x0001, DX, "1.2.3"))
            peer.send_fragment(1, 0x00, bytes(100_000))
            wait_for(lambda: ours.parts, "the object to begin")
            if how == "aborted":
                peer.send_pdu(0x07, bytes(4))
            elif how == "reset":
                peer.socket.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER: close with a reset
        wait_for(lambda: not ours.parts, "the half object to go")
        assert not ours.inbox
        syntax = str(ExplicitVRLittleEndian)
        wait_for(
            lambda: (
                ours.counted("objects_received_total", transfer_syntax=syntax, outcome=StoreOutcome.INCOMPLETE) == 1
            ),
            "the incomplete object to be counted",
        )
        assert store(ours.port, a_data_set()) == [0x0000]


@pytest.mark.parametrize(
    "pdu, reason",
    [
        (struct.pack(">BxL", 0x04, 0xFFFFFFFF), 6),
        (struct.pack(">BxL", 0x07, 0xFFFFFFFF), 6),
        (struct.pack(">BxL", 0x42, 4) + bytes(4), 1),
        (struct.pack(">BxL", 0x01, 4) + bytes(4), 2),
        (struct.pack(">BxLLBB", 0x04, 6, 2, 99, 3), 6),
        (struct.pack(">BxLLBB", 0x04, 6, 9, 1, 3), 6),
        (struct.pack(">BxLLBB", 0x04, 6, 0, 1, 3), 6),
        (struct.pack(">BxLLBB", 0x04, 6, 2, 1, 2), 2),
        (struct.pack(">BxLLBB", 0x04, 10, 6, 1, 3) + b"nope", 6),
    ],
    ids=[
        "4 GiB of data",
        "4 GiB of abort",
        "unknown type",
        "second request",
        "context not accepted",
        "fragment beyond its PDU",
        "fragment of nothing",
        "data without a command",
        "no command set",
    ],
)
def test_what_is_not_dicom_is_aborted_with_the_reason(spool: Spool, pdu: bytes, reason: int):
    with running_listener(spool) as ours:
        with RawPeer(ours.port) as peer:
            peer.associate()
            peer.socket.sendall(pdu)

            assert peer.receive() == (ABORT, bytes([0, 0, 2, reason]))
            assert peer.receive()[0] == 0
        assert store(ours.port, a_data_set()) == [0x0000]


def test_a_request_that_claims_4_gib_is_aborted(spool: Spool):
    with running_listener(spool) as ours, RawPeer(ours.port) as peer:
        peer.socket.sendall(struct.pack(">BxL", 0x01, 0xFFFFFFFF))

        assert peer.receive() == (ABORT, bytes([0, 0, 2, 6]))


@pytest.mark.parametrize("sent", [b"", b"\x04\x00\x00", struct.pack(">BxL", 0x04, 5000) + bytes(100)])
def test_a_peer_that_falls_silent_is_aborted(spool: Spool, sent: bytes):
    with running_listener(spool, network_timeout_s=0.5) as ours, RawPeer(ours.port) as peer:
        peer.associate()
        peer.socket.sendall(sent)

        assert peer.receive()[0] == ABORT
        wait_for(lambda: ours.counted("associations_ended_total", how=Ending.TIMED_OUT) == 1, "the timeout")


def test_a_peer_that_drips_is_aborted_too(spool: Spool):
    with running_listener(spool, network_timeout_s=0.5) as ours, RawPeer(ours.port) as peer:
        peer.associate()
        peer.socket.sendall(struct.pack(">BxL", 0x04, 5000))
        dripping = threading.Event()

        def drip() -> None:
            while not dripping.wait(0.1):
                try:
                    peer.socket.sendall(b"\0")
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            assert peer.receive()[0] == ABORT
        finally:
            dripping.set()
            thread.join()


def test_two_senders_at_once(spool: Spool):
    batches = [[a_data_set(PixelData=bytes([number]) * 300_000) for _ in range(5)] for number in range(2)]
    results: list[list[int]] = []
    with running_listener(spool) as ours:
        threads = [
            threading.Thread(target=lambda batch=batch: results.append(store(ours.port, *batch))) for batch in batches
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert results == [[0x0000] * 5] * 2
        assert {ours.data_set(instance) for instance in ours.inbox} == {
            encoded(each) for batch in batches for each in batch
        }


def test_logs_name_no_patient(spool: Spool, caplog: pytest.LogCaptureFixture, tmp_path: Path):
    caplog.set_level(logging.DEBUG)
    with running_listener(spool) as ours, RawPeer(ours.port) as peer:
        peer.associate()
        data = encoded(a_data_set(StudyInstanceUID="1.2.3"))
        peer.send_store(DX, "DOE^JANE", data)
        assert peer.status() == 0xA900
        peer.send_store(DX, generate_uid(), b"DOE^JANE, and no data set")
        assert peer.status() == 0xC000
    wait_for(lambda: "0xC000" in caplog.text, "the log")
    assert "DOE" not in caplog.text
