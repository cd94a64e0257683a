"""Connections and associations that hold on: who keeps whom out, and who makes room."""

from __future__ import annotations

import logging
import socket
import struct
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.support.dicom_peer import DX, RawPeer, a_data_set, command, running_listener, store
from tests.support.wait import wait_for
from triage.listener.slots import IDLE_S, AssociationSlots
from triage.metrics.labels import Ending, Rejection
from triage.spool.spool import Spool

ABORT, REJECT, ACCEPT = 0x07, 0x03, 0x02


@dataclass(eq=False)
class Visitor:
    address: str
    idle: float = 0.0
    has_slot: bool = False
    is_closing: bool = False
    broken_off: bool = False

    def idle_s(self, now: float) -> float:
        return self.idle

    def break_off(self) -> None:
        self.broken_off = True


def with_slots(*visitors: Visitor) -> list[Visitor]:
    for each in visitors:
        each.has_slot = True
    return list(visitors)


def test_a_free_slot_is_taken():
    connection = Visitor("10.0.0.1")
    assert AssociationSlots(1, 1).take(connection, [connection]) is None
    assert connection.has_slot


def test_nobody_who_works_is_closing():
    busy = with_slots(Visitor("10.0.0.1", idle=IDLE_S - 1), Visitor("10.0.0.2"))
    connection = Visitor("10.0.0.3")
    assert AssociationSlots(2, 2).take(connection, [*busy, connection]) is Rejection.TOO_MANY
    assert not connection.has_slot
    assert not any(each.broken_off for each in busy)


def test_the_idlest_of_the_busiest_address_is_closing_and_once():
    alone = Visitor("10.0.0.1", idle=500)
    many = [Visitor("10.0.0.2", idle=20), Visitor("10.0.0.2", idle=40), Visitor("10.0.0.2")]
    slots, present = AssociationSlots(4, 4), with_slots(alone, *many)
    first, second = Visitor("10.0.0.3"), Visitor("10.0.0.3")
    assert slots.take(first, [*present, first]) is None
    assert [each.broken_off for each in present] == [False, False, True, False]
    assert slots.take(second, [*present, first, second]) is None
    assert sum(each.broken_off for each in present) == 2


def test_an_address_has_so_many_and_is_closing_for_itself_alone():
    present = with_slots(Visitor("10.0.0.1"), Visitor("10.0.0.1"), Visitor("10.0.0.2", idle=500))
    slots, connection = AssociationSlots(5, 2), Visitor("10.0.0.1")
    assert slots.take(connection, [*present, connection]) is Rejection.TOO_MANY_OF_ADDRESS
    present[1].idle = 30
    assert slots.take(connection, [*present, connection]) is None
    assert [each.broken_off for each in present] == [False, True, False]


def test_of_those_who_ask_for_nothing_the_busiest_address_goes():
    waiting = [Visitor("10.0.0.1"), Visitor("10.0.0.2"), Visitor("10.0.0.2"), *with_slots(Visitor("10.0.0.2"))]
    assert AssociationSlots(3, 3).superfluous(waiting) is None
    assert AssociationSlots(2, 2).superfluous(waiting) is waiting[1]


def at(port: int, address: str) -> RawPeer:
    peer = RawPeer.__new__(RawPeer)
    peer.socket = socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(address, 0))
    return peer


def test_associations_of_one_byte_keep_no_sender_out(spool: Spool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("triage.listener.slots.IDLE_S", 0.5)
    with running_listener(spool, max_associations=8) as ours, ExitStack() as stack:
        holding = [stack.enter_context(RawPeer(ours.port)) for _ in range(8)]
        for peer in holding:
            assert peer.associate()[0] == ACCEPT
            peer.socket.sendall(b"\x04")
        wait_for(lambda: _taken(ours.port), "a slot")
        assert holding[0].receive()[0] == ABORT
        assert store(ours.port, a_data_set()) == [0x0000]
        assert ours.counted("associations_ended_total", how=Ending.ABORTED_BY_US) >= 1


def _taken(port: int) -> bool:
    with RawPeer(port) as peer:
        return peer.associate()[0] == ACCEPT


def test_one_address_leaves_slots_to_others(spool: Spool):
    with running_listener(spool, max_associations=4, max_associations_per_address=3) as ours, ExitStack() as stack:
        for _ in range(3):
            assert stack.enter_context(at(ours.port, "127.0.0.2")).associate()[0] == ACCEPT
        with at(ours.port, "127.0.0.2") as fourth:
            assert fourth.associate() == (REJECT, bytes([0, 2, 3, 2]))
        assert store(ours.port, a_data_set()) == [0x0000]
        assert ours.counted("associations_rejected_total", reason=Rejection.TOO_MANY_OF_ADDRESS) == 1


@pytest.mark.parametrize("data_set_begun", [False, True])
def test_whole_pdus_of_almost_nothing_are_no_progress(spool: Spool, data_set_begun: bool):
    with running_listener(spool, network_timeout_s=1.0) as ours, RawPeer(ours.port) as peer:
        peer.associate()
        whole = command(0x0001, DX, "1.2.3")
        if data_set_begun:
            peer.send_fragment(1, 0x03, whole)
        pieces = iter(whole[: 10**6])
        aborted = False
        while not aborted:
            try:
                piece = b"\0" if data_set_begun else bytes([next(pieces)])
                peer.send_fragment(1, 0x00 if data_set_begun else 0x01, piece)
                peer.socket.settimeout(0.1)
                aborted = peer.receive()[0] == ABORT
            except TimeoutError:
                continue
            except OSError:
                aborted = True
        wait_for(lambda: ours.counted("associations_ended_total", how=Ending.TIMED_OUT) == 1, "the timeout")
        assert not ours.parts


def test_a_refused_address_is_told_so_before_anything_is_parsed(spool: Spool, monkeypatch: pytest.MonkeyPatch):
    def unwanted(body: bytes) -> None:
        raise AssertionError("a request of a refused address was parsed")

    monkeypatch.setattr("triage.listener.association.read_request", unwanted)
    with running_listener(spool, source_addresses=("10.0.0.0/8",)) as ours:
        with RawPeer(ours.port) as peer:
            peer.socket.sendall(struct.pack(">BxL", 0x01, 1 << 20))
            assert peer.receive() == (REJECT, bytes([0, 1, 1, 1]))
        with RawPeer(ours.port) as peer:
            peer.send_pdu(0x01, bytes(1 << 20))
            assert peer.receive() == (REJECT, bytes([0, 1, 1, 1]))
        wait_for(
            lambda: ours.counted("associations_rejected_total", reason=Rejection.SOURCE_ADDRESS) == 2, "both counts"
        )


def test_a_request_that_is_too_long_is_not_read(spool: Spool):
    with running_listener(spool) as ours, RawPeer(ours.port) as peer:
        peer.socket.sendall(struct.pack(">BxL", 0x01, 1 << 20))
        assert peer.receive() == (ABORT, bytes([0, 0, 2, 6]))


def test_who_connects_and_says_nothing_makes_no_warning(spool: Spool, caplog: pytest.LogCaptureFixture):
    with running_listener(spool) as ours:
        RawPeer(ours.port).socket.close()
        assert store(ours.port, a_data_set()) == [0x0000]
    assert not [
        record for record in caplog.records if record.levelno >= logging.WARNING and record.name[:6] == "triage"
    ]
