"""The listener as a whole: who may connect, how many, how it fails and how it stops."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pynetdicom import AE

from tests.support.dicom_peer import (
    DX,
    RawPeer,
    a_data_set,
    association,
    command,
    encoded,
    running_listener,
    store,
    with_meta,
)
from tests.support.small_disk import mounted
from tests.support.wait import wait_for
from triage.errors import StartError
from triage.listener.admission import admission_policy
from triage.listener.settings import ListenerSettings
from triage.metrics.labels import Ending, Rejection
from triage.runtime.sockets import open_port
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool

ABORT, REJECT, ACCEPT = 0x07, 0x03, 0x02


@pytest.mark.parametrize(
    "settings, names, answer, reason",
    [
        ({"require_called_ae_title": True}, {"called": "SOMEBODY"}, (1, 1, 7), Rejection.CALLED_AE_TITLE),
        ({"calling_ae_titles": ("MY_PACS",)}, {"calling": "OTHER"}, (1, 1, 3), Rejection.CALLING_AE_TITLE),
        ({"source_addresses": ("10.0.0.0/8", "::1")}, {}, (1, 1, 1), Rejection.SOURCE_ADDRESS),
    ],
)
def test_who_may_not_connect_hears_why(
    spool: Spool, settings: dict[str, object], names: dict[str, str], answer: tuple[int, int, int], reason: Rejection
):
    with running_listener(spool, **settings) as ours:
        with RawPeer(ours.port) as peer:
            assert peer.associate(**names) == (REJECT, bytes((0, *answer)))
        assert ours.counted("associations_rejected_total", reason=reason) == 1


def test_who_may_connect_does(spool: Spool):
    settings = {
        "require_called_ae_title": True,
        "calling_ae_titles": ("MY_PACS",),
        "source_addresses": ("127.0.0.0/8",),
    }
    with running_listener(spool, **settings) as ours:
        assert store(ours.port, a_data_set(), calling="MY_PACS") == [0x0000]
        assert ours.counted("associations_accepted_total", calling_ae_title="MY_PACS") == 1


def test_names_that_are_not_configured_are_no_labels(spool: Spool):
    with running_listener(spool) as ours:
        store(ours.port, a_data_set(), calling="WHOEVER")
        assert ours.counted("associations_accepted_total", calling_ae_title="other") == 1


def test_too_many_associations_are_rejected_for_now(spool: Spool):
    with running_listener(spool, max_associations=2) as ours:
        with association(ours.port) as first, association(ours.port) as second:
            assert first.is_established
            assert second.is_established
            with RawPeer(ours.port) as third:
                assert third.associate() == (REJECT, bytes([0, 2, 3, 2]))
        wait_for(lambda: ours.counted("associations_open") == 0, "the associations to end")
        assert store(ours.port, a_data_set()) == [0x0000]


def test_half_open_connections_keep_nobody_out(spool: Spool):
    with running_listener(spool, max_associations=3) as ours, ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(RawPeer(ours.port))

        assert store(ours.port, a_data_set()) == [0x0000]
        # The oldest had to make room: it hears so.
        with association(ours.port) as made:
            assert made.is_established


def test_a_silent_client_is_dropped(spool: Spool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("triage.listener.server._REQUEST_TIMEOUT_S", 0.3)
    with running_listener(spool) as ours, RawPeer(ours.port) as silent:
        assert silent.receive()[0] == ABORT
        assert silent.receive()[0] == 0


def test_a_failing_and_a_stalled_queue_change_no_status(spool: Spool, caplog: pytest.LogCaptureFixture):
    blocked = threading.Event()

    def enqueue(_instance: ReceivedInstance) -> None:
        blocked.wait(30)
        raise ConnectionError("Redis is away")

    with running_listener(spool, enqueue=enqueue) as ours:
        assert store(ours.port, *(a_data_set() for _ in range(5))) == [0x0000] * 5
        assert len(ours.inbox) == 5
        blocked.set()
        wait_for(lambda: ours.counted("enqueue_failures_total") == 5, "the failures to be counted")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path, megabytes=3) as folder:
        yield folder


def test_a_full_disk_refuses_and_recovers(small_disk: Path):
    spool = Spool.open(small_disk / "spool")
    large, small = a_data_set(PixelData=bytes(8_000_000)), a_data_set(PixelData=bytes(1_000_000))
    with running_listener(spool) as ours:
        # The second fails in its midst; the association and what follows in it are unharmed.
        assert store(ours.port, small, large) == [0x0000, 0xA700]
        filler = small_disk / "filler"
        filler.write_bytes(bytes(1_500_000))
        assert store(ours.port, a_data_set(PixelData=bytes(900_000))) == [0xA700]
        assert not ours.parts
        assert [ours.data_set(instance) for instance in ours.inbox] == [encoded(small)]

        filler.unlink()
        again = a_data_set(PixelData=bytes(900_000))
        assert store(ours.port, again) == [0x0000]
        assert encoded(again) in [ours.data_set(instance) for instance in ours.inbox]


def test_stopping_lets_an_object_finish(spool: Spool):
    sent = a_data_set()
    data = encoded(sent)
    with running_listener(spool) as ours, RawPeer(ours.port) as peer:
        peer.associate()
        peer.send_fragment(1, 0x03, command(0x0001, DX, str(sent.SOPInstanceUID)))
        peer.send_fragment(1, 0x00, data[:100])
        wait_for(lambda: ours.parts, "the object to begin")
        ours.stop.set()
        wait_for(lambda: not _accepts(ours.port), "the port to close")
        peer.send_fragment(1, 0x02, data[100:])

        assert peer.status() == 0x0000
        assert ours.data_set(ours.inbox[0]) == data
        peer.send_pdu(0x05, bytes(4))
        assert peer.receive()[0] == 0x06


def test_stopping_aborts_what_does_not_end(spool: Spool):
    with running_listener(spool, shutdown_grace_s=0.2) as ours, RawPeer(ours.port) as idle, RawPeer(ours.port) as busy:
        idle.associate()
        busy.associate()
        busy.send_fragment(1, 0x03, command(0x0001, DX, "1.2.3"))
        busy.send_fragment(1, 0x00, bytes(1000))
        wait_for(lambda: ours.parts, "the object to begin")
        ours.stop.set()

        assert idle.receive()[0] == ABORT
        assert busy.receive()[0] == ABORT
        wait_for(lambda: not ours.parts, "the half object to go")
        assert not ours.inbox
        wait_for(lambda: ours.counted("associations_ended_total", how=Ending.ABORTED_BY_US) == 2, "the aborts")


LISTEN = """
import sys, threading, logging
from pathlib import Path
from prometheus_client import CollectorRegistry
from triage.listener import server as listener
from triage.listener.settings import ListenerSettings
from triage.listener.storage import StorageTarget, StorageTargets
from triage.metrics.listener import ListenerMetrics
from triage.runtime.stop_signal import StopSignal
from triage.spool.spool import Spool
from triage.spool.usage import HighWater
root, port, processes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
stopping = StopSignal()
listener.run(
    ListenerSettings(port=port, processes=processes, shutdown_grace_s=20),
    StorageTargets(StorageTarget(Spool.open(root), ListenerMetrics(CollectorRegistry())), HighWater(1.0, 0)),
    lambda instance: None, lambda: stopping.received, lambda port: print(port, flush=True),
)
"""


def start_process(root: Path, port: int = 0, processes: int = 1) -> tuple[subprocess.Popen[str], int]:
    """A listener in a process of its own, and its port."""
    command_line = [sys.executable, "-c", LISTEN, str(root), str(port), str(processes)]
    process = subprocess.Popen(command_line, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, int(process.stdout.readline())


def test_several_processes_share_the_port(spool: Spool):
    with open_port("127.0.0.1", 0, shared=True) as probe:
        port = probe.getsockname()[1]
    processes = [start_process(spool.root, port, processes=2)[0] for _ in range(2)]
    try:
        sent = [a_data_set() for _ in range(20)]
        for each in sent:  # an association each
            assert store(port, each) == [0x0000]
        assert {instance.sop_instance_uid for instance in spool.waiting()} == {each.SOPInstanceUID for each in sent}

        # Either of them is enough.
        _end(processes.pop(0))
        assert store(port, a_data_set()) == [0x0000]
    finally:
        for process in processes:
            _end(process)


def test_a_port_is_not_shared_by_accident():
    with open_port("127.0.0.1", 0, shared=False) as taken, pytest.raises(StartError, match=r"listener\.port"):
        open_port("127.0.0.1", taken.getsockname()[1], shared=False)


# pynetdicom leaves a socket open when it is refused, as the last sender here is.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_sigterm_under_load_loses_nothing_that_was_acknowledged(spool: Spool):
    process, port = start_process(spool.root)
    acknowledged: list[str] = []
    stop = threading.Event()

    def send() -> None:
        ae = AE("SENDER")
        ae.add_requested_context(DX, "1.2.840.10008.1.2.1")
        while not stop.is_set():
            made = ae.associate("127.0.0.1", port)
            for _ in range(3):
                each = a_data_set(PixelData=os.urandom(200_000))

                if not made.is_established:
                    return
                if made.send_c_store(with_meta(each)).get("Status") == 0x0000:
                    acknowledged.append(str(each.SOPInstanceUID))
            made.release()

    senders = [threading.Thread(target=send) for _ in range(3)]
    for sender in senders:
        sender.start()
    try:
        wait_for(lambda: len(acknowledged) > 20, "some objects")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        stop.set()
        for sender in senders:
            sender.join()
        _end(process)

    stored = {instance.sop_instance_uid for instance in spool.waiting()}
    assert set(acknowledged) <= stored
    assert not list(spool.incoming.iterdir())


def test_addresses_that_are_none_are_named():
    with pytest.raises(StartError, match=r"source_addresses.*nonsense"):
        admission_policy(ListenerSettings(source_addresses=("nonsense",)))


def test_one_line_for_each_association(spool: Spool, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "triage")
    with running_listener(spool) as ours:
        store(ours.port, a_data_set(), a_data_set(), calling="MY_PACS")
    lines = [record.getMessage() for record in caplog.records if "MY_PACS" in record.getMessage()]
    assert len(lines) == 1
    assert "released" in lines[0]
    assert "2 x 0x0000" in lines[0]


def _accepts(port: int) -> bool:
    import socket

    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait(60)
    if process.stdout:
        process.stdout.close()
