"""Delivery to real DICOM peers: what is sent, once, again, later, never, and what is left of it in the spool."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian
from pynetdicom.presentation import build_context

from tests.support.dicom_peer import data_set_of
from tests.support.ports import free_port
from tests.support.receivers import listens, orthanc, silent_port, store_scp
from tests.support.studies import a_radiograph, a_study, add_image, settle
from tests.support.wait import wait_for
from triage.channels.registry import channel_of
from triage.channels.sr.settings import SRDestination
from triage.decision.types import Tag
from triage.delivery import deliverer as deliver
from triage.delivery.deliverer import Deliverer
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryState
from triage.metrics.delivery import DeliveryMetrics
from triage.runtime.library_logs import silence_libraries
from triage.runtime.progress import ProgressWatch
from triage.spool.spool import Spool

# pynetdicom leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


STORESCP = "/usr/bin/storescp"


class Clock:
    """A clock that a test sets; it starts ahead of the marks, which the file system dates while the test goes on."""

    def __init__(self) -> None:
        self.at = time.time() + 20.0

    def __call__(self) -> float:
        return self.at


def a_deliverer(spool: Spool, port: int, clock: Callable[[], float] | None = None, **settings: Any) -> Deliverer:
    values = {"name": "pacs", "host": "127.0.0.1", "port": port, "called_ae_title": "PACS", "delay_s": 0.0}
    destination = SRDestination(**{**values, "timeout_s": 5.0, **settings})
    outbox = Outbox(spool)
    outbox.prepare([destination.name])
    return Deliverer(
        spool, outbox, destination, channel_of(destination), DeliveryMetrics(CollectorRegistry()), now=clock or Clock()
    )


def states(deliverer: Deliverer, study: str) -> list[DeliveryState]:
    return [each.state for each in deliverer.outbox.records(study)]


def attempts(deliverer: Deliverer, outcome: str) -> float:
    return deliverer.metrics.attempts.labels(deliverer.name, outcome)._value.get()


def sent(spool: Spool, study: str, number: int = 1) -> bytes:
    return (spool.study_folder(study) / "deliveries" / f"pacs+{number:04d}.sent").read_bytes()


def test_what_is_built_is_what_the_peer_gets_byte_for_byte(spool: Spool):
    study = a_study(spool, "pacs")
    with store_scp() as scp:
        deliverer = a_deliverer(spool, scp.port)
        deliverer.round()
        deliverer.round()

    assert states(deliverer, study) == [DeliveryState.DELIVERED]
    assert scp.received == [data_set_of(sent(spool, study))]


def test_dcmtk_gets_it_bit_for_bit(spool: Spool, tmp_path: Path):
    if shutil.which(STORESCP) is None:
        pytest.skip(f"{STORESCP}: sudo apt-get install dcmtk")
    study, port = a_study(spool, "pacs"), free_port()
    command = [STORESCP, "--bit-preserving", "--output-directory", str(tmp_path), "--aetitle", "PACS", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: listens(port), "storescp")
        deliverer = a_deliverer(spool, port)
        deliverer.round()
    finally:
        process.terminate()
        process.wait(60)

    assert states(deliverer, study) == [DeliveryState.DELIVERED]
    (stored,) = (path for path in tmp_path.iterdir() if path.is_file())
    assert data_set_of(stored.read_bytes()) == data_set_of(sent(spool, study))


def test_two_pacs_get_the_same_object(spool: Spool):
    study = a_study(spool, "pacs", "archive")
    with store_scp() as first, store_scp() as second:
        for scp, name in ((first, "pacs"), (second, "archive")):
            a_deliverer(spool, scp.port, name=name).round()

    assert first.received == second.received
    assert len(first.received) == 1
    assert {each.state for each in Outbox(spool).records(study)} == {DeliveryState.DELIVERED}


def test_a_peer_that_takes_only_implicit_vr_gets_it(spool: Spool):
    a_study(spool, "pacs")
    contexts = [build_context("1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.1.2")]
    with store_scp(contexts=contexts) as scp:
        a_deliverer(spool, scp.port).round()

    (received,) = scp.received
    assert dcmread(DicomBytesIO(received), force=True).Modality == "SR"


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (0x0000, DeliveryState.DELIVERED),
        (0xB000, DeliveryState.DELIVERED),
        (0xB006, DeliveryState.DELIVERED),
        (0xB007, DeliveryState.DELIVERED),
        (0xA700, DeliveryState.WAITING),
        (0xA702, DeliveryState.WAITING),
        (0x0110, DeliveryState.WAITING),
        (0xA900, DeliveryState.DEAD),
        (0xC000, DeliveryState.DEAD),
        (0xC123, DeliveryState.DEAD),
        (0x0122, DeliveryState.DEAD),
    ],
)
def test_an_answer_decides_what_becomes_of_it(spool: Spool, status: int, state: DeliveryState, caplog: Any):
    study = a_study(spool, "pacs")
    with store_scp(status) as scp:
        deliverer = a_deliverer(spool, scp.port)
        deliverer.round()

    assert states(deliverer, study) == [state]
    assert len(scp.received) == 1
    assert (f"0x{status:04X}" in caplog.text) == (status != 0)
    assert "DOE" not in caplog.text
    assert deliverer.metrics.warnings.labels("pacs")._value.get() == (status >> 12 == 0xB)


def test_a_refused_object_is_sent_again_later_and_later_and_then_no_more(spool: Spool):
    study = a_study(spool, "pacs")
    clock = Clock()
    with store_scp(0xA700) as scp:
        deliverer = a_deliverer(spool, scp.port, clock, tries=3, first_interval_s=10.0)
        deliverer.round()
        deliverer.round()
        assert len(scp.received) == 1  # not due yet
        clock.at += 10.0
        deliverer.round()
        clock.at += 10.0
        deliverer.round()
        assert len(scp.received) == 2  # the second wait is longer
        clock.at += 10.0
        deliverer.round()
        clock.at += 9999.0
        deliverer.round()

    assert states(deliverer, study) == [DeliveryState.DEAD]
    assert len(scp.received) == 3
    assert len(set(scp.received)) == 1
    with store_scp() as scp:
        ((key, _, tries, why),) = deliverer.outbox.dead.letters("pacs")
        assert (tries, "0xA700" in why) == (3, True)
        deliverer.outbox.dead.requeue(key, clock.at)
        a_deliverer(spool, scp.port, clock).round()
        assert states(deliverer, study) == [DeliveryState.DELIVERED]


def test_while_nobody_is_there_everything_is_kept_and_no_attempt_counts(spool: Spool):
    studies = [a_study(spool, "pacs") for _ in range(3)]
    clock, port = Clock(), free_port()
    deliverer = a_deliverer(spool, port, clock, tries=1, longest_interval_s=60.0)
    for _ in range(5):
        deliverer.round()
        clock.at += 60.0

    assert [states(deliverer, study) for study in studies] == [[DeliveryState.WAITING]] * 3
    assert attempts(deliverer, "unreachable") == 5
    with store_scp(port=port) as scp:
        deliverer.round()
        deliverer.round()
        assert len(scp.received) == 3
    assert [states(deliverer, study) for study in studies] == [[DeliveryState.DELIVERED]] * 3
    assert deliverer.outbox.pause("pacs")[0] == 0


def test_an_association_that_is_never_answered_holds_nothing_up_for_long(spool: Spool):
    study = a_study(spool, "pacs")
    with silent_port() as port:
        deliverer = a_deliverer(spool, port, timeout_s=0.5)
        deliverer.round()

    assert states(deliverer, study) == [DeliveryState.WAITING]
    assert deliverer.outbox.pause("pacs")[0] == 1


def test_silence_after_the_object_is_an_attempt(spool: Spool, caplog: Any):
    study = a_study(spool, "pacs")
    release = threading.Event()
    with store_scp(before_answer=lambda event: release.wait(60)) as scp:
        deliverer = a_deliverer(spool, scp.port, timeout_s=0.5)
        deliverer.round()
        release.set()

    (record,) = deliverer.outbox.records(study)
    assert record.state is DeliveryState.WAITING
    assert "no answer" in record.tries[-1]["detail"]
    assert deliverer.outbox.waiting("pacs")[0].tries == 1


def test_a_peer_that_accepts_and_drops_gets_the_same_bytes_again(spool: Spool):
    study = a_study(spool, "pacs")
    clock = Clock()
    drops = iter([True, False])

    def drop(event: Any) -> None:
        if next(drops):
            event.assoc.abort()

    with store_scp(before_answer=drop) as scp:
        deliverer = a_deliverer(spool, scp.port, clock)
        deliverer.round()
        assert states(deliverer, study) == [DeliveryState.WAITING]
        clock.at += 60.0
        deliverer.round()

    assert states(deliverer, study) == [DeliveryState.DELIVERED]
    assert len(scp.received) == 2
    assert len(set(scp.received)) == 1


def test_a_rejected_context_makes_a_dead_letter_that_says_so(spool: Spool):
    study = a_study(spool, "pacs")
    with store_scp(contexts=[build_context(ComprehensiveSRStorage, ExplicitVRLittleEndian)]) as scp:
        deliverer = a_deliverer(spool, scp.port)
        deliverer.round()

    assert states(deliverer, study) == [DeliveryState.DEAD]
    assert "Comprehensive 3D SR" in deliverer.outbox.records(study)[0].tries[-1]["detail"]


def test_a_rejected_association_is_the_destinations_fault_and_says_why(spool: Spool):
    study = a_study(spool, "pacs")
    with store_scp(require_called_aet=True) as scp:
        deliverer = a_deliverer(spool, scp.port, called_ae_title="ANOTHER")
        deliverer.round()

    assert states(deliverer, study) == [DeliveryState.WAITING]
    assert "AE title" in deliverer.outbox.pause("pacs")[2]


def test_a_report_waits_so_that_a_study_makes_one(spool: Spool):
    clock = Clock()
    study = a_study(spool, "pacs", tag=Tag.NORMAL)
    with store_scp() as scp:
        deliverer = a_deliverer(spool, scp.port, clock, delay_s=60.0)
        deliverer.round()
        add_image(spool, a_radiograph(study), tag=Tag.ABNORMAL, probability=0.95)
        settle(spool, study, "pacs")
        clock.at += 30.0
        deliverer.round()
        assert scp.received == []
        clock.at += 31.0
        deliverer.round()

    assert states(deliverer, study) == [DeliveryState.DELIVERED]
    assert len(scp.received) == 1


def an_update(spool: Spool, deliverer: Deliverer) -> str:
    study = a_study(spool, "pacs", tag=Tag.NORMAL)
    deliverer.round()
    add_image(spool, a_radiograph(study), tag=Tag.ABNORMAL, probability=0.95)
    settle(spool, study, "pacs")
    deliverer.round()
    return study


def test_a_late_image_that_changes_the_result_makes_an_update(spool: Spool):
    with store_scp() as scp:
        deliverer = a_deliverer(spool, scp.port)
        study = an_update(spool, deliverer)

    assert states(deliverer, study) == [DeliveryState.DELIVERED, DeliveryState.DELIVERED]
    first, second = (dcmread(DicomBytesIO(sent(spool, study, number))) for number in (1, 2))
    (series,) = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID


def test_a_late_image_that_changes_nothing_makes_none(spool: Spool):
    with store_scp() as scp:
        deliverer = a_deliverer(spool, scp.port)
        study = a_study(spool, "pacs", tag=Tag.NORMAL)
        deliverer.round()
        add_image(spool, a_radiograph(study), tag=Tag.NOT_ASSESSED, probability=None, reasons=("not_frontal",))
        settle(spool, study, "pacs")
        deliverer.round()

    assert len(scp.received) == 1
    assert deliverer.outbox.marked("pacs") == []


def test_after_a_model_change_nothing_already_delivered_is_sent_again(spool: Spool):
    with store_scp() as scp:
        study = a_study(spool, "pacs", tag=Tag.NORMAL)
        a_deliverer(spool, scp.port).round()
        settle(spool, study, "pacs")  # a new release decides on the same assessments
        a_deliverer(spool, scp.port, document="enhanced").round()

    assert len(scp.received) == 1


def test_what_was_delivered_as_raised_is_not_lowered(spool: Spool, caplog: Any):
    with store_scp() as scp:
        deliverer = a_deliverer(spool, scp.port)
        study = a_study(spool, "pacs", tag=Tag.ABNORMAL)
        deliverer.round()
        (path,) = (each for each in spool.study_folder(study).glob("*+*.json"))
        path.write_text(path.read_text().replace("ABNORMAL", "NORMAL").replace("0.91", "0.09"))
        assert settle(spool, study, "pacs").tag is Tag.NORMAL
        deliverer.round()

    assert len(scp.received) == 1
    assert deliverer.metrics.held.labels("pacs")._value.get() == 1
    assert "not lowered" in caplog.text


def test_a_newer_result_takes_the_place_of_one_that_never_left(spool: Spool):
    clock, port = Clock(), free_port()
    deliverer = a_deliverer(spool, port, clock)
    study = an_update(spool, deliverer)

    assert states(deliverer, study) == [DeliveryState.SUPERSEDED, DeliveryState.WAITING]
    clock.at += 60.0
    with store_scp(port=port) as scp:
        deliverer.round()
    assert len(scp.received) == 1
    assert "PredecessorDocumentsSequence" not in dcmread(DicomBytesIO(sent(spool, study, 2)))


def test_an_older_result_never_follows_a_newer_one(spool: Spool):
    clock = Clock()
    with store_scp(0xA700, 0x0000) as scp:
        deliverer = a_deliverer(spool, scp.port, clock, first_interval_s=100.0)
        study = an_update(spool, deliverer)  # the first was refused and may have been seen
        assert states(deliverer, study) == [DeliveryState.WAITING, DeliveryState.WAITING]
        assert len(scp.received) == 1
        clock.at += 100.0
        deliverer.round()
        deliverer.round()

    assert states(deliverer, study) == [DeliveryState.DELIVERED, DeliveryState.DELIVERED]
    first, second = (data_set_of(sent(spool, study, number)) for number in (1, 2))
    assert scp.received == [first, first, second]


def test_the_kill_switch_holds_everything_and_loses_nothing(spool: Spool):
    study = a_study(spool, "pacs")
    with store_scp() as scp:
        deliverer = a_deliverer(spool, scp.port)
        deliverer.outbox.set_disabled("pacs", True)
        deliverer.round()
        assert (scp.received, states(deliverer, study)) == ([], [DeliveryState.WAITING])
        deliverer.outbox.set_disabled("pacs", False)
        deliverer.round()
        assert len(scp.received) == 1


def test_what_a_crash_left_without_payload_is_built_again(spool: Spool):
    study = a_study(spool, "pacs")
    deliverer = a_deliverer(spool, free_port())
    deliverer.build()
    (item,) = deliverer.outbox.waiting("pacs")
    (spool.root / "outbox" / "pacs" / item.name).unlink()
    settle(spool, study, "pacs")
    with store_scp() as scp:
        a_deliverer(spool, scp.port).round()

    assert len(scp.received) == 1
    assert states(deliverer, study) == [DeliveryState.SUPERSEDED, DeliveryState.DELIVERED]  # the first never left


def test_a_crash_after_the_payload_builds_nothing_else(spool: Spool):
    study = a_study(spool, "pacs")
    deliverer = a_deliverer(spool, free_port())
    deliverer.build()
    (item,) = deliverer.outbox.waiting("pacs")
    payload = deliverer.outbox.payload(item)
    settle(spool, study, "pacs")  # the mark was still there
    deliverer.build()

    assert deliverer.outbox.waiting("pacs") == [item]
    assert deliverer.outbox.payload(item) == payload


def test_a_study_that_cannot_be_built_holds_up_no_other(spool: Spool, caplog: Any):
    silence_libraries()
    broken, whole = a_study(spool, "pacs"), a_study(spool, "pacs")
    (path,) = spool.study_folder(broken).glob("*+*.json")
    path.write_text(path.read_text().replace('"sop_class_uid": "1.2.840', '"sop_class_uid": "DOE^JANE 1.2.840'))
    (stored,) = spool.study_folder(broken).glob("*.dcm")
    stored.write_bytes(b"broken")
    with store_scp() as scp:
        deliverer = a_deliverer(spool, scp.port)
        deliverer.round()

    assert states(deliverer, whole) == [DeliveryState.DELIVERED]
    ((key, *_),) = deliverer.outbox.dead.letters("pacs")
    assert str(key) == f"pacs/{broken}"
    assert deliverer.metrics.build_failures.labels("pacs")._value.get() == 1
    assert "DOE" not in caplog.text


def test_the_gauges_say_what_is_left(spool: Spool):
    a_study(spool, "pacs")
    deliverer = a_deliverer(spool, free_port())
    deliverer.round()

    assert deliverer.metrics.waiting.labels("pacs")._value.get() == 1
    assert deliverer.metrics.oldest.labels("pacs")._value.get() > 0
    assert deliverer.metrics.up.labels("pacs")._value.get() == 0


def test_a_report_is_stored_in_and_read_back_from_orthanc_once_after_an_outage(spool: Spool, tmp_path: Path):
    study = str(a_study(spool, "pacs"))
    (stored,) = spool.study_folder(study).glob("*.dcm")
    clock = Clock()
    with orthanc(tmp_path / "pacs") as pacs:
        pacs.post("/instances", stored.read_bytes())
        port = pacs.dicom_port
    deliverer = a_deliverer(spool, port, clock, timeout_s=30.0)
    deliverer.round()
    assert states(deliverer, study) == [DeliveryState.WAITING]
    with orthanc(tmp_path / "pacs", dicom_port=port) as pacs:
        clock.at += 60.0
        deliverer.round()
        deliverer.round()
        assert states(deliverer, study) == [DeliveryState.DELIVERED]
        (found,) = pacs.find("Study", StudyInstanceUID=study)
        assert len(found["Series"]) == 2
        (series,) = pacs.find("Series", StudyInstanceUID=study, Modality="SR")
        (instance,) = series["Instances"]
        kept = pacs.get(f"/instances/{instance}/file")
    report = dcmread(DicomBytesIO(kept))
    assert report == dcmread(DicomBytesIO(sent(spool, study)))
    assert report.PatientID == "P-1"


def test_an_update_takes_the_place_of_a_dead_letter(spool: Spool):
    with store_scp(0xC000, 0x0000) as scp:
        deliverer = a_deliverer(spool, scp.port)
        study = an_update(spool, deliverer)

    assert states(deliverer, study) == [DeliveryState.SUPERSEDED, DeliveryState.DELIVERED]
    assert not list(deliverer.outbox.dead.letters("pacs"))
    assert "PredecessorDocumentsSequence" not in dcmread(DicomBytesIO(sent(spool, study, 2)))


def test_a_destination_that_hangs_holds_up_no_other(spool: Spool):
    study = a_study(spool, "hangs", "pacs")
    stop = threading.Event()
    with silent_port() as port, store_scp() as scp:
        metrics, outbox = DeliveryMetrics(CollectorRegistry()), Outbox(spool)
        deliverers = [
            replace(a_deliverer(spool, to, time.time, name=name, timeout_s=3.0), metrics=metrics)
            for name, to in (("hangs", port), ("pacs", scp.port))
        ]
        progress = {each.name: ProgressWatch(each.name, 60.0) for each in deliverers}
        thread = threading.Thread(target=deliver.run, args=(deliverers, stop.is_set, stop.wait, 0.05, progress))
        thread.start()
        try:
            wait_for(
                lambda: [each.state for each in outbox.records(study, "pacs")] == [DeliveryState.DELIVERED], "the other"
            )
            assert [each.state for each in outbox.records(study, "hangs")] == [DeliveryState.WAITING]
        finally:
            stop.set()
            thread.join()


class Crash(BaseException):
    """The process is gone."""


class CrashingSpool(Spool):
    """Dies instead of the ``left``-th step that changes a file."""

    left = 0

    def _rename(self, source: Path, target: Path, *, durable: bool = True) -> None:
        self.left -= 1
        if self.left < 0:
            raise Crash
        super()._rename(source, target, durable=durable)


def test_wherever_it_dies_the_study_is_delivered_in_the_end_as_one_object(spool: Spool):
    crashed_at = []
    for step in range(20):
        study = a_study(spool, "pacs")
        with store_scp() as scp:
            dying = CrashingSpool.open(spool.root)
            dying.left = step
            try:
                a_deliverer(dying, scp.port).round()
            except Crash:
                crashed_at.append(step)
            deliverer = a_deliverer(spool, scp.port)
            deliverer.round()
            deliverer.round()
        *lost, last = states(deliverer, study)  # a crash between record and bytes: never sent
        assert last is DeliveryState.DELIVERED and set(lost) <= {DeliveryState.SUPERSEDED}, step
        assert len(set(scp.received)) == 1, step
        assert not deliverer.outbox.is_undelivered(study), step
        if step not in crashed_at:
            break
    assert len(crashed_at) == step >= 4  # every step was died at, and then there was none left


def test_what_retention_took_is_forgotten_in_the_outbox_too(spool: Spool):
    study, other = a_study(spool, "pacs"), a_study(spool, "pacs")
    with store_scp() as scp:
        deliverer = a_deliverer(spool, scp.port)
        deliverer.build()
        shutil.rmtree(spool.study_folder(study))
        deliverer.send()

    assert states(deliverer, other) == [DeliveryState.DELIVERED]
    assert deliverer.outbox.waiting("pacs") == []
    assert len(scp.received) == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.delivery.test_deliverer import a_deliverer
from triage.delivery.outbox import Outbox
from triage.spool.spool import Spool

Outbox.delivered = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # sent, acknowledged, and no receipt
a_deliverer(Spool.open(Path(sys.argv[1])), int(sys.argv[2])).round()
"""


def test_killed_between_answer_and_receipt_it_sends_the_same_bytes_again(spool: Spool):
    study = a_study(spool, "pacs")
    with store_scp() as scp:
        command = [sys.executable, "-W", "ignore", "-c", KILLED, str(spool.root), str(scp.port)]
        killed = subprocess.run(command, cwd=Path(__file__).parents[2], timeout=120)
        assert killed.returncode == -signal.SIGKILL
        assert len(scp.received) == 1
        deliverer = a_deliverer(spool, scp.port)
        deliverer.round()

    assert states(deliverer, study) == [DeliveryState.DELIVERED]
    assert len(scp.received) == 2
    assert len(set(scp.received)) == 1


def test_the_process_delivers_and_ends_when_told(spool: Spool, tmp_path: Path):
    study = a_study(spool, "pacs")
    settings = tmp_path / "triage.toml"
    with store_scp() as scp:
        settings.write_text(
            f'[spool]\npath = "{spool.root}"\n[deliver]\nmetrics_port = {free_port()}\n[[channels.sr]]\nname = "pacs"\n'
            f'host = "127.0.0.1"\nport = {scp.port}\ncalled_ae_title = "PACS"\ndelay_s = 0.0\n'
        )
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TRIAGE_")}
        process = subprocess.Popen(
            [sys.executable, "-m", "triage.cli", "--config", str(settings), "deliver"], env=environment
        )
        try:
            outbox = Outbox(spool)
            wait_for(
                lambda: [each.state for each in outbox.records(study)] == [DeliveryState.DELIVERED], "the delivery"
            )
        finally:
            process.terminate()
            assert process.wait(60) == 0
    assert len(scp.received) == 1


def test_a_destination_that_was_paused_by_a_clock_a_day_ahead_is_tried_when_the_clock_is_right_again(spool: Spool):
    clock, port = Clock(), free_port()
    right = clock.at
    study = a_study(spool, "pacs")
    deliverer = a_deliverer(spool, port, clock, first_interval_s=10.0, longest_interval_s=600.0)
    clock.at = right + 86_400.0
    deliverer.round()
    assert deliverer.outbox.pause("pacs")[1] > right + 86_400.0
    clock.at = right
    with store_scp(port=port) as scp:
        a_deliverer(spool, port, clock, first_interval_s=10.0, longest_interval_s=600.0).round()
        assert len(scp.received) == 1
    assert states(deliverer, study) == [DeliveryState.DELIVERED]


def test_what_was_put_off_or_built_or_marked_by_a_clock_ahead_is_sent_when_the_clock_is_right_again(spool: Spool):
    clock = Clock()
    right = clock.at
    put_off, built = a_study(spool, "pacs"), a_study(spool, "pacs")
    with store_scp(0xA700, 0xA700, 0x0000) as scp:
        deliverer = a_deliverer(spool, scp.port, clock, tries=5, first_interval_s=10.0)
        clock.at = right + 86_400.0
        deliverer.round()  # both are put off, by the clock that is ahead
        assert states(deliverer, put_off) == states(deliverer, built) == [DeliveryState.WAITING]
        marked = a_study(spool, "pacs")
        os.utime(spool.root / "marks" / "pacs" / marked, (right + 86_400.0,) * 2)
        clock.at = right
        deliverer.round()
        assert [states(deliverer, each) for each in (put_off, built, marked)] == [[DeliveryState.DELIVERED]] * 3


def test_a_pause_holds_for_its_interval_and_no_longer(spool: Spool):
    clock, port = Clock(), free_port()
    a_study(spool, "pacs")
    deliverer = a_deliverer(spool, port, clock, first_interval_s=10.0, longest_interval_s=600.0)
    deliverer.round()
    clock.at += 9.0
    deliverer.round()
    assert attempts(deliverer, "unreachable") == 1
    clock.at += 1.0
    deliverer.round()
    assert attempts(deliverer, "unreachable") == 2
    clock.at += 19.0
    deliverer.round()
    assert attempts(deliverer, "unreachable") == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"tries": 7}', "null"])
def test_a_record_that_cannot_be_read_keeps_no_other_study_from_its_destination(spool: Spool, content: str):
    clock = Clock()
    broken, other = a_study(spool, "pacs"), a_study(spool, "pacs")
    with store_scp() as scp:
        deliverer = a_deliverer(spool, scp.port, clock)
        deliverer.build()
        record = spool.study_folder(broken) / "deliveries" / "pacs+0001.json"
        whole = record.read_text()
        record.write_text(content)
        deliverer.round()
        assert (len(scp.received), states(deliverer, other)) == (1, [DeliveryState.DELIVERED])
        record.write_text(whole)
        deliverer.round()
        assert (len(scp.received), states(deliverer, broken)) == (2, [DeliveryState.DELIVERED])


@pytest.mark.parametrize(
    "note",
    ["", "nonsense", "[]", "{}", '{"failures": Infinity, "next_try": 1, "why": ""}']
    + [f'{{"failures": 1, "next_try": {each}, "why": ""}}' for each in ("NaN", "Infinity", "1e999", '"soon"', "[]")],
)
def test_a_note_of_a_pause_that_is_none_pauses_nothing(spool: Spool, note: str):
    study = a_study(spool, "pacs")
    with store_scp() as scp:
        deliverer = a_deliverer(spool, scp.port)
        deliverer.outbox.set_pause("pacs", 1, 1.0, "")
        (spool.root / "control" / "destinations" / "pacs.json").write_text(note)
        deliverer.round()
    assert states(deliverer, study) == [DeliveryState.DELIVERED]


def test_a_dead_letter_whose_record_cannot_be_read_hides_no_other(spool: Spool):
    broken, other = a_study(spool, "pacs"), a_study(spool, "pacs")
    with store_scp(0xA900, 0xA900) as scp:
        deliverer = a_deliverer(spool, scp.port)
        deliverer.round()
    assert deliverer.outbox.dead.count("pacs") == 2
    (spool.study_folder(broken) / "deliveries" / "pacs+0001.json").write_text("{")
    deliverer.outbox.dead.bury_study("1.2.3", "pacs", "x")
    (spool.root / "undeliverable" / "pacs" / "1.2.3").write_text("{")
    told = {key.study_instance_uid: why for key, _, _, why in deliverer.outbox.dead.letters("pacs")}
    assert set(told) == {broken, other, "1.2.3"}
    assert told[broken] == "its record cannot be read"


def test_what_cannot_be_sent_becomes_a_dead_letter_and_holds_up_no_other(spool: Spool):
    clock = Clock()
    broken, other = a_study(spool, "pacs"), a_study(spool, "pacs")
    with store_scp() as scp:
        deliverer = a_deliverer(spool, scp.port, clock, tries=2, first_interval_s=10.0)
        deliverer.build()
        (item,) = (each for each in deliverer.outbox.waiting("pacs") if each.study_instance_uid == broken)
        (spool.root / "outbox" / "pacs" / item.name).write_bytes(b"nonsense")
        for _ in range(4):
            deliverer.round()
            clock.at += 30.0
    assert states(deliverer, broken) == [DeliveryState.DEAD]
    assert states(deliverer, other) == [DeliveryState.DELIVERED]


@pytest.mark.parametrize("host", ["a..example", "nobody.invalid", "[::1"])
def test_a_destination_whose_name_cannot_be_looked_up_is_left_alone_for_a_while(spool: Spool, host: str):
    study = a_study(spool, "pacs")
    deliverer = a_deliverer(spool, 104, host=host)
    deliverer.round()
    assert (deliverer.outbox.pause("pacs")[0], attempts(deliverer, "unreachable")) == (1, 1)
    assert states(deliverer, study) == [DeliveryState.WAITING]
