"""Peers that we call and that respond without limits: they take neither memory nor a thread."""

from __future__ import annotations

import logging
import resource
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from pynetdicom import build_context
from pynetdicom.sop_class import Verification

from triage.dicom.association_request import ContextResult, acceptance, read_request
from triage.dicom.requestor import NoAssociationError, RemoteAE, associated

TIMEOUT_S = 1.0
Behaviour = Callable[[socket.socket, threading.Event], None]


@contextmanager
def peer(behave: Behaviour, *, accepts: bool = True) -> Iterator[RemoteAE]:
    """A peer that accepts Verification, if it does, and then behaves so."""
    done = threading.Event()

    def serve(listening: socket.socket) -> None:
        connected, _ = listening.accept()
        with connected, suppress(OSError):
            if accepts:
                connected.sendall(accepted(connected))
            behave(connected, done)
            done.wait(60)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        try:
            yield RemoteAE("127.0.0.1", listening.getsockname()[1], "THEM", "US", TIMEOUT_S)
        finally:
            done.set()
            thread.join()


def accepted(connected: socket.socket) -> bytes:
    """Return the acceptance of all proposed contexts."""
    length = struct.unpack(">BxL", connected.recv(6, socket.MSG_WAITALL))[1]
    request = read_request(connected.recv(length, socket.MSG_WAITALL))
    results = [ContextResult(each.context_id, 0) for each in request.contexts]
    return acceptance(request, results, [], 16384, ("1.2.3", "TEST"))


def claims_4_gib(connected: socket.socket, done: threading.Event) -> None:
    connected.recv(1)  # asked, by a caller who is associated
    connected.sendall(struct.pack(">BxL", 0x04, 0xFFFFFFFF))
    while not done.is_set():
        connected.sendall(bytes(1 << 20))


def never_ends_a_message(connected: socket.socket, done: threading.Event) -> None:
    fragment = struct.pack(">BxLLBB", 0x04, 16006, 16002, 1, 0x01) + bytes(16000)
    while not done.is_set():
        connected.sendall(fragment)


def drips(connected: socket.socket, done: threading.Event) -> None:
    connected.sendall(struct.pack(">BxL", 0x04, 10000))
    while not done.wait(0.1):
        connected.sendall(b"\0")


def says_nothing(connected: socket.socket, done: threading.Event) -> None:
    return


@pytest.mark.parametrize("behave", [claims_4_gib, never_ends_a_message, drips, says_nothing])
def test_a_peer_that_answers_without_end_costs_little_and_is_left(behave: Behaviour) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with peer(behave) as other, associated(other, [build_context(Verification)]) as association:
        assert association.is_established
        assert "Status" not in association.send_c_echo()
        association.abort()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # KiB
    assert grown < 400 << 10


@pytest.mark.parametrize("behave", [claims_4_gib, drips])
def test_one_that_never_accepts_is_left_too(behave: Behaviour, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "triage")
    contexts = [build_context(Verification)]
    with (
        peer(behave, accepts=False) as other,
        pytest.raises(NoAssociationError),
        associated(other, contexts),
    ):
        pass
    assert str(other) in caplog.text


@pytest.mark.parametrize("lacks", ["transfer syntax", "user information"])
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of what is odd
def test_an_acceptance_without_what_every_message_needs_is_none(lacks: str) -> None:
    def accept(connected: socket.socket, done: threading.Event) -> None:
        answer = bytearray(accepted(connected))
        if lacks == "transfer syntax":
            context = answer.index(b"\x21\x00\x00\x19")
            answer[context + 3], answer[context + 22] = 4, 23  # its length, and in what is no more inside it
        else:
            answer[answer.index(b"\x50\x00\x00")] = 0x10
        connected.sendall(answer)

    with (
        peer(accept, accepts=False) as odd,
        pytest.raises(NoAssociationError, match="left out what that needs"),
        associated(odd, [build_context(Verification)]),
    ):
        pytest.fail("associated")
