"""What was given up does not arrive later: a connection that ends without an answer takes its bytes with it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import build_context
from pynetdicom.sop_class import Verification

from tests.dicom.test_requestor import accepted
from tests.support.deaf_peer import LARGE, DeafPeer, deaf_peer
from tests.support.dicom_peer import DX, a_data_set, as_file
from tests.support.mllp_listener import acknowledging
from triage.channels import c_store_scu
from triage.channels.base import DeliveryStatus
from triage.channels.hl7.channel import Exchange, Receiver
from triage.dicom.requestor import RemoteAE, associated
from triage.dicom.unacknowledged import begin_exchange
from triage.hl7.mllp import MLLPConnection, NoAnswerError
from triage.runtime.http_request import HttpPeer, PeerError

MESSAGE = b"MSH|" + b"A" * LARGE
TIMEOUT_S = 1.0


def test_a_message_that_is_given_up_does_not_arrive_later():
    with deaf_peer() as ris, MLLPConnection("127.0.0.1", ris.port, TIMEOUT_S) as connection:
        connection.send(MESSAGE)
        with pytest.raises(NoAnswerError):
            connection.receive(time.monotonic())
        ris.hear()
        assert ris.reset and len(ris.heard) < LARGE


def test_an_object_that_is_given_up_does_not_arrive_later(tmp_path: Path):
    with deaf_peer(lambda connected: connected.sendall(accepted(connected))) as pacs:
        outcome = sent(pacs, tmp_path / "dx.dcm")
        pacs.hear()
    assert outcome is DeliveryStatus.RETRY
    assert pacs.reset and len(pacs.heard) < LARGE


def sent(pacs: DeafPeer, path: Path) -> DeliveryStatus:
    dataset = a_data_set()
    dataset.PixelData = bytes(LARGE)
    content = as_file(dataset, path).read_bytes()
    remote = RemoteAE("127.0.0.1", pacs.port, "PACS", "US", TIMEOUT_S)
    with associated(remote, [build_context(DX, ExplicitVRLittleEndian)]) as association:
        return c_store_scu.store(association, content, 1).status


def test_a_request_that_is_given_up_does_not_arrive_later():
    with deaf_peer() as receiver:
        with pytest.raises(PeerError):
            HttpPeer(f"http://127.0.0.1:{receiver.port}/", TIMEOUT_S).ask("POST", bytes(LARGE))
        receiver.hear()
    assert receiver.reset and len(receiver.heard) < LARGE


SENDS = """
import sys, time
from triage.hl7.mllp import MLLPConnection
with MLLPConnection("127.0.0.1", int(sys.argv[1]), 60.0) as connection:
    connection.send(b"MSH|" + b"A" * int(sys.argv[2]))
    print("sent", flush=True)
    connection.receive(time.monotonic() + 60)
"""


def test_what_a_process_that_ends_had_sent_does_not_arrive_later():
    with deaf_peer() as ris:
        command = [sys.executable, "-c", SENDS, str(ris.port), str(LARGE)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdout.readline() == b"sent\n"
            process.send_signal(signal.SIGKILL)
        ris.hear()
        assert ris.reset and len(ris.heard) < LARGE


def answer_two(connected: socket.socket) -> None:
    for _ in range(2):
        buffer = b""
        while not buffer.endswith(b"\x1c\x0d"):
            buffer += connected.recv(4096)
        connected.sendall(acknowledging("AA")(buffer))


def test_a_connection_whose_messages_were_answered_ends_in_order():
    with deaf_peer(answer_two) as ris:
        receiver = Receiver("127.0.0.1", ris.port, 60.0)
        with receiver.connection() as connection:
            send = Exchange("ris", connection, receiver)
            outcomes = [send(b"MSH|^~\\&|||||||ORU|%d|P|2.5.1\r" % number) for number in range(2)]
        ris.hear()
    assert [each.status for each in outcomes] == [DeliveryStatus.DELIVERED] * 2
    assert not ris.reset


def test_an_association_that_is_released_ends_in_order():
    def accept_and_release(connected: socket.socket) -> None:
        connected.sendall(accepted(connected))
        connected.recv(10, socket.MSG_WAITALL)  # A-RELEASE-RQ, and its response (PS3.8 9.3.6 and 9.3.7)
        connected.sendall(bytes.fromhex("06000000000400000000"))

    with deaf_peer(accept_and_release) as pacs:
        with associated(RemoteAE("127.0.0.1", pacs.port, "PACS", "US", 60.0), [build_context(Verification)]):
            pass
        pacs.hear()
    assert not pacs.reset


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="of Linux alone")
def test_a_receiver_that_acknowledges_nothing_has_not_closed_the_connection():
    """One that has may be sent the same bytes at once, as some close after each answer."""
    with deaf_peer() as ris, MLLPConnection("127.0.0.1", ris.port, TIMEOUT_S) as connection:
        connection.send(MESSAGE)
        with pytest.raises(NoAnswerError, match="acknowledges no bytes") as raised:
            connection.receive(time.monotonic() + 60)
        assert not raised.value.closed_by_peer


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="of Linux alone")
def test_a_process_that_stands_still_does_not_go_on_sending():
    with socket.socket() as connected:
        begin_exchange(connected, 2.5)
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 2500
