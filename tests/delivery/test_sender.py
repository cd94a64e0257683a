"""Messages that are built and sent at once, over one connection or several, to real peers."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pynetdicom import AE, evt
from pynetdicom.sop_class import Comprehensive3DSRStorage  # type: ignore[attr-defined]

from tests.channels import test_hl7 as hl7
from tests.delivery.test_deliverer import STORESCP, Clock, a_deliverer, attempts, states
from tests.support.dicom_peer import data_set_of
from tests.support.mllp_listener import acknowledgement, acknowledging, control_id_of, framed, mllp_listener
from tests.support.ports import free_port
from tests.support.receivers import StoreSCP, listens, store_scp
from tests.support.studies import a_radiograph, a_study, add_image, settle
from tests.support.wait import wait_for
from triage.channels.base import Built, Skipped
from triage.channels.plugin.settings import PluginDestination
from triage.decision.types import Tag
from triage.delivery.deliverer import Deliverer
from triage.delivery.record import DeliveryState
from triage.errors import UnreachableError
from triage.spool.spool import Spool
from triage.spool.study import Study

# pynetdicom leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

DELIVERED = DeliveryState.DELIVERED


@dataclass
class PACS(StoreSCP):
    """An SCP that counts its associations, those now and the most at once."""

    open: int = 0
    most: int = 0
    opened: int = 0


@contextmanager
def pacs(*, most: int = 10, before_answer: Callable[[Any], None] = lambda event: None) -> Iterator[PACS]:
    """An SCP that takes ``most`` associations at once."""
    scp, lock = PACS(free_port(), before_answer=before_answer), threading.Lock()

    def accepted(event: Any) -> None:
        with lock:
            scp.open, scp.opened = scp.open + 1, scp.opened + 1
            scp.most = max(scp.most, scp.open)

    def closed(event: Any) -> None:
        with lock:
            scp.open -= event.assoc.is_established

    entity = AE("PACS")
    entity.maximum_associations = most
    entity.add_supported_context(Comprehensive3DSRStorage)
    handlers: Any = [(evt.EVT_C_STORE, scp.answer), (evt.EVT_ACCEPTED, accepted), (evt.EVT_RELEASED, closed)]
    server = entity.start_server(("127.0.0.1", scp.port), block=False, evt_handlers=handlers)
    try:
        yield scp
    finally:
        server.shutdown()


def arrivals(scp: StoreSCP) -> list[tuple[str, int]]:
    """Study and number of each report, as it came."""
    reports = [dcmread(DicomBytesIO(each), force=True) for each in list(scp.received)]
    return [(str(each.StudyInstanceUID), int(each.InstanceNumber)) for each in reports]


def sent(spool: Spool, study: str, number: int = 1) -> bytes:
    return data_set_of((spool.study_folder(study) / "deliveries" / f"pacs+{number:04d}.sent").read_bytes())


def when_building(deliverer: Deliverer, study: str, first: Callable[[], object]) -> None:
    """Call ``first`` before the message of a study is built."""
    build = type(deliverer.channel).build

    @dataclass(frozen=True)
    class Waiting(type(deliverer.channel)):  # type: ignore[misc]
        def build(self, about: Study) -> Built | Skipped:
            if about.decision.study_instance_uid == study:
                first()
            return build(self, about)  # type: ignore[arg-type]

    deliverer.channel = Waiting(**vars(deliverer.channel))


def test_a_message_leaves_while_the_next_is_being_built(spool: Spool):
    first, second = a_study(spool, "pacs"), a_study(spool, "pacs")
    with pacs() as scp:
        deliverer = a_deliverer(spool, scp.port)
        when_building(deliverer, second, lambda: wait_for(lambda: scp.received, "the first to arrive"))
        deliverer.round()
    assert arrivals(scp) == [(first, 1), (second, 1)]
    assert scp.opened == 1
    assert [states(deliverer, each) for each in (first, second)] == [[DELIVERED]] * 2


def test_what_a_newer_result_replaces_does_not_leave_while_that_is_built(spool: Spool):
    clock, port = Clock(), free_port()
    deliverer = a_deliverer(spool, port, clock)
    older, other = a_study(spool, "pacs", tag=Tag.NORMAL), a_study(spool, "pacs")
    deliverer.round()
    assert (states(deliverer, older), attempts(deliverer, "unreachable")) == ([DeliveryState.WAITING], 1)
    add_image(spool, a_radiograph(older), tag=Tag.ABNORMAL, probability=0.95)
    settle(spool, older, "pacs")
    clock.at += 60.0
    with store_scp(port=port) as scp:
        when_building(deliverer, older, lambda: wait_for(lambda: scp.received, "the other study to arrive"))
        deliverer.round()
    assert arrivals(scp) == [(other, 1), (older, 2)]
    assert states(deliverer, older) == [DeliveryState.SUPERSEDED, DELIVERED]


def test_over_several_connections_each_arrives_once_and_as_it_was_built(spool: Spool):
    studies = [a_study(spool, "pacs") for _ in range(6)]
    at_once = threading.Barrier(3)
    with pacs(before_answer=lambda event: at_once.wait(20)) as scp:
        deliverer = a_deliverer(spool, scp.port, connections=3, timeout_s=60.0)
        deliverer.build()
        deliverer.send()  # three at once, twice: the barrier lets no fewer pass
    assert sorted(scp.received) == sorted(sent(spool, each) for each in studies)
    assert (scp.opened, scp.most) == (3, 3)
    assert [states(deliverer, each) for each in studies] == [[DELIVERED]] * 6


def test_one_message_needs_one_connection(spool: Spool):
    a_study(spool, "pacs")
    with pacs() as scp:
        a_deliverer(spool, scp.port, connections=4).round()
    assert (len(scp.received), scp.opened) == (1, 1)


def test_a_pacs_that_takes_one_association_gets_everything_over_that(spool: Spool):
    studies = [a_study(spool, "pacs") for _ in range(5)]
    with pacs(most=1) as scp:
        deliverer = a_deliverer(spool, scp.port, connections=3)
        deliverer.build()
        deliverer.send()
    assert sorted(each for each, _ in arrivals(scp)) == sorted(studies)
    assert deliverer.outbox.pause("pacs")[0] == 0
    assert attempts(deliverer, "unreachable") == attempts(deliverer, "retry") == 0


def test_no_update_overtakes_what_it_updates_on_any_connection(spool: Spool):
    clock = Clock()
    studies = [a_study(spool, "pacs", tag=Tag.NORMAL) for _ in range(4)]
    with store_scp(0xA700) as scp:  # all may have been seen, so that none is superseded
        deliverer = a_deliverer(spool, scp.port, clock, connections=4, first_interval_s=30.0)
        deliverer.round()
    for study in studies:
        add_image(spool, a_radiograph(study), tag=Tag.ABNORMAL, probability=0.95)
        settle(spool, study, "pacs")
    deliverer.build()
    clock.at += 60.0
    with store_scp() as scp:
        again = a_deliverer(spool, scp.port, clock, connections=4, first_interval_s=30.0)
        for _ in range(3):
            again.send()
    came = arrivals(scp)
    assert sorted(came) == sorted((study, number) for study in studies for number in (1, 2))
    assert all(came.index((study, 1)) < came.index((study, 2)) for study in studies)


def test_a_connection_that_breaks_ends_the_others_after_their_message_and_the_pause_is_noted_once(spool: Spool):
    for _ in range(6):
        a_study(spool, "pacs")
    with pacs(before_answer=lambda event: event.assoc.abort()) as scp:
        deliverer = a_deliverer(spool, scp.port, connections=3)
        deliverer.build()
        deliverer.send()
    assert len(scp.received) <= 3
    assert deliverer.outbox.pause("pacs")[0] == 1


def test_an_error_of_the_store_reaches_the_round(spool: Spool, monkeypatch: pytest.MonkeyPatch):
    a_study(spool, "pacs")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with store_scp() as scp:
        deliverer = a_deliverer(spool, scp.port)
        monkeypatch.setattr(deliverer.outbox, "delivered", full)
        with pytest.raises(OSError, match="No space"):
            deliverer.round()
    assert len(scp.received) == 1


def test_while_the_store_takes_no_message_what_was_built_is_sent_and_no_thread_stays(spool: Spool):
    first, second = a_study(spool, "pacs"), a_study(spool, "pacs")

    def full() -> None:
        raise OSError(28, "No space left on device")

    with store_scp() as scp:
        deliverer = a_deliverer(spool, scp.port)
        when_building(deliverer, second, full)
        with pytest.raises(OSError, match="No space"):
            deliverer.round()
    assert states(deliverer, first) == [DELIVERED]
    assert deliverer.outbox.to_be_told(second) == ("pacs",)
    assert not [each for each in threading.enumerate() if each.name.endswith(" 1") and each.name.startswith("Main")]


def test_hl7_messages_keep_their_order_over_one_kept_connection(spool: Spool):
    studies = [a_study(spool, "ris") for _ in range(5)]
    with mllp_listener(acknowledging("AA")) as listener:
        deliverer = hl7.a_deliverer(spool, listener.port)
        deliverer.build()
        in_order = [each.revision for each in deliverer.outbox.waiting("ris")]
        deliverer.send()
    assert len(listener.connections) == 1
    assert [states(deliverer, each) for each in studies] == [[DELIVERED]] * 5
    records = [record for each in studies for record in deliverer.outbox.records(each)]
    identities = {each.revision: each.identity["message_control_id"] for each in records}
    assert [control_id_of(each).decode() for each in listener.received] == [identities[each] for each in in_order]


def test_hl7_over_two_connections_takes_no_answer_for_that_of_another_message(spool: Spool):
    studies = [a_study(spool, "ris") for _ in range(4)]
    at_once = threading.Barrier(2)

    def answer(message: bytes) -> bytes:
        at_once.wait(20)
        return framed(acknowledgement("AA", control_id_of(message)))

    with mllp_listener(answer) as listener:
        deliverer = hl7.a_deliverer(spool, listener.port, connections=2, own_control_id_only=True, timeout_s=60.0)
        deliverer.build()
        deliverer.send()
    assert (len(listener.received), len(listener.connections)) == (4, 2)
    assert [states(deliverer, each) for each in studies] == [[DELIVERED]] * 4


def test_the_channel_of_a_plugin_has_one_connection():
    with pytest.raises(ValidationError, match="one thing at a time"):
        PluginDestination(name="x", plugin="a:b", connections=2)


def test_the_channel_of_a_plugin_is_not_asked_to_build_while_it_sends(spool: Spool):
    studies, calls = [a_study(spool, "pacs") for _ in range(4)], []
    with store_scp(before_answer=lambda event: calls.append("sent")) as scp:
        deliverer = a_deliverer(spool, scp.port)
        for study in studies:
            when_building(deliverer, study, lambda: calls.append("built"))
        deliverer.destination = replace_one_at_a_time(deliverer)
        deliverer.round()
    assert [states(deliverer, each) for each in studies] == [[DELIVERED]] * 4
    assert calls == ["built"] * 4 + ["sent"] * 4


def replace_one_at_a_time(deliverer: Deliverer) -> Any:
    class OneAtATime(type(deliverer.destination)):  # type: ignore[misc]
        one_at_a_time = True

    return OneAtATime(**deliverer.destination.model_dump())


KILLED = """
import itertools, os, signal, sys
from pathlib import Path
from tests.delivery.test_deliverer import a_deliverer
from triage.delivery.outbox import Outbox
from triage.spool.spool import Spool

calls, delivered = itertools.count(1), Outbox.delivered

def killed(*given):
    if next(calls) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)  # sent, acknowledged, and no receipt; others are in flight
    return delivered(*given)

Outbox.delivered = killed
a_deliverer(Spool.open(Path(sys.argv[1])), int(sys.argv[2]), connections=3).round()
"""


@pytest.mark.parametrize("call", [1, 4, 6])
def test_killed_with_several_in_flight_everything_is_at_dcmtk_bit_for_bit_in_the_end(
    spool: Spool, tmp_path: Path, call: int
):
    if shutil.which(STORESCP) is None:
        pytest.skip(f"{STORESCP}: sudo apt-get install dcmtk")
    studies, port, into = [a_study(spool, "pacs") for _ in range(6)], free_port(), tmp_path / "pacs"
    into.mkdir()
    command = [STORESCP, "--fork", "--bit-preserving", "--output-directory", str(into), "--aetitle", "PACS", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: listens(port), "storescp")
        killing = [sys.executable, "-W", "ignore", "-c", KILLED, str(spool.root), str(port), str(call)]
        killed = subprocess.run(killing, cwd=Path(__file__).parents[2], timeout=120)
        assert killed.returncode == -signal.SIGKILL
        deliverer = a_deliverer(spool, port, connections=3)
        deliverer.round()
    finally:
        process.terminate()
        process.wait(60)
    # What was built when it was killed may have lacked its bytes: it never left, and another one was built.
    assert all(states(deliverer, each) in ([DELIVERED], [DeliveryState.SUPERSEDED, DELIVERED]) for each in studies)
    stored = [data_set_of(path.read_bytes()) for path in into.iterdir() if path.is_file()]
    assert sorted(stored) == sorted(sent(spool, each, len(states(deliverer, each))) for each in studies)


def test_a_destination_that_cannot_be_reached_is_tried_once_whatever_its_connections(spool: Spool):
    studies = [a_study(spool, "pacs") for _ in range(5)]
    deliverer = a_deliverer(spool, free_port(), connections=4)
    tried: list[int] = []
    connect = deliverer.channel.connect

    @dataclass(frozen=True)
    class Counting(type(deliverer.channel)):  # type: ignore[misc]
        def connect(self) -> Any:
            tried.append(1)
            return connect()

    deliverer.channel = Counting(**vars(deliverer.channel))
    deliverer.build()
    deliverer.send()
    assert deliverer.outbox.pause("pacs")[0] == 1
    assert attempts(deliverer, "unreachable") == 1
    assert len(tried) == 1
    assert [states(deliverer, each) for each in studies] == [[DeliveryState.WAITING]] * 5
    with pytest.raises(UnreachableError):
        replace(deliverer, metrics=deliverer.metrics).channel.check()
