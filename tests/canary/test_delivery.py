"""Delivery of a canary after patients' results: marked as a test, without delaying a patient's result."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pydicom import dcmread

from tests.channels.test_webhook import SECRET, web_server
from tests.delivery.test_deliverer import Clock
from tests.support.mllp_listener import acknowledging, mllp_listener
from tests.support.receivers import store_scp
from tests.support.studies import a_study
from tests.support.ups_manager import ups_manager
from triage.canary.delivery import DeliveryWithCanary
from triage.canary.partition import open_partition, remove_canaries
from triage.canary.wiring import canary_at_deliverer
from triage.channels.hl7.settings import HL7Destination
from triage.channels.registry import channel_of
from triage.channels.settings import Destination
from triage.channels.sr.settings import SRDestination
from triage.channels.ups.settings import UPSDestination
from triage.channels.webhook.settings import WebhookDestination
from triage.delivery.deliverer import Deliverer
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryState
from triage.metrics.delivery import DeliveryMetrics
from triage.spool.spool import Spool


def loop_of(spool: Spool, destination: Destination) -> DeliveryWithCanary:
    outbox = Outbox(spool)
    outbox.prepare([destination.name])
    metrics = DeliveryMetrics(CollectorRegistry())
    patients = Deliverer(spool, outbox, destination, channel_of(destination), metrics, now=Clock())
    loop = canary_at_deliverer(patients)
    assert isinstance(loop, DeliveryWithCanary)
    return loop


def states(of: Deliverer, study: str) -> list[DeliveryState]:
    return [each.state for each in of.outbox.records(study)]


def one_of_each(spool: Spool, name: str) -> tuple[str, str]:
    """A patient's study and a canary's, both decided and marked."""
    return a_study(spool, name), a_study(open_partition(spool), name, attributes={"QualityControlSubject": "YES"})


@pytest.mark.parametrize("processing_id", ["T", "D", "P"])
def test_hl7_says_it_in_the_processing_id(spool: Spool, processing_id: str) -> None:
    with mllp_listener(acknowledging("AA")) as ris:
        destination = HL7Destination(
            name="ris", host="127.0.0.1", port=ris.port, canary=True, canary_processing_id=processing_id
        )
        patient, canary = one_of_each(spool, "ris")
        loop_of(spool, destination).round()
        sent = {next(uid for uid in (patient, canary) if uid.encode() in each): each for each in ris.received}
    ids = {uid: each.split(b"\r")[0].split(b"|")[10].decode() for uid, each in sent.items()}
    assert ids == {patient: "P", canary: processing_id}


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy: sudo apt-get install dicom3tools")
def test_a_report_says_it_in_series_and_subject_and_is_valid(spool: Spool, tmp_path: Path) -> None:
    with store_scp() as pacs:
        destination = SRDestination(name="pacs", host="127.0.0.1", port=pacs.port, called_ae_title="PACS", delay_s=0)
        one_of_each(spool, "pacs")
        loop = loop_of(spool, destination)
        loop.round()
    reports = [dcmread(BytesIO(each), force=True) for each in pacs.received]
    labels = [(each.SeriesDescription, each.get("QualityControlSubject")) for each in reports]
    assert labels == [("Chest radiograph triage", None), ("TEST: chest radiograph triage", "YES")]
    (sent,) = open_partition(spool).root.glob("studies/*/*/deliveries/*.sent")
    checked = subprocess.run(["/usr/bin/dciodvfy", str(sent)], capture_output=True, text=True)
    assert not [line for line in checked.stderr.splitlines() if line.startswith("Error")], checked.stderr


def test_a_webhook_says_it(spool: Spool) -> None:
    with web_server(200) as server:
        destination = WebhookDestination(name="hook", url=f"http://127.0.0.1:{server.server_port}/", secret=SECRET)
        one_of_each(spool, "hook")
        loop_of(spool, destination).round()
    assert [json.loads(body).get("test") for _, _, body in server.received] == [None, True]


def test_a_workitem_has_a_label_of_its_own(spool: Spool) -> None:
    with ups_manager() as manager:
        destination = UPSDestination(name="ups", host="127.0.0.1", port=manager.port, called_ae_title="MANAGER")
        patient, canary = one_of_each(spool, "ups")
        loop_of(spool, destination).round()
    labels = {
        each.StudyInstanceUID: (each.WorklistLabel, each.ProcedureStepLabel) for each in manager.workitems.values()
    }
    assert labels[patient] == ("CXR triage", "Chest radiograph interpretation")
    assert labels[canary] == ("TEST", "TEST: Chest radiograph interpretation")


@contextmanager
def closed_port() -> Iterator[int]:
    """A port at which no server listens."""
    with store_scp() as scp:
        port = scp.port
    yield port


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_switches_and_pauses_of_patients_hold_for_the_canary_and_not_conversely(spool: Spool) -> None:
    with closed_port() as port:
        destination = SRDestination(name="pacs", host="127.0.0.1", port=port, called_ae_title="PACS", timeout_s=5.0)
        canary = a_study(open_partition(spool), "pacs")
        loop = loop_of(spool, destination)
        loop.round()
    assert loop.canary.outbox.pause("pacs")[0] == 1
    assert loop.patients.outbox.pause("pacs") == (0, 0.0, "")

    loop.patients.outbox.set_pause("pacs", 3, 9e9, "no answer")
    assert loop.canary.outbox.pause("pacs") == (3, 9e9, "no answer")
    loop.patients.outbox.set_pause("pacs", 0, 0.0, "")
    loop.patients.outbox.set_disabled("pacs", True)
    assert loop.canary.outbox.disabled("pacs")
    assert states(loop.canary, canary) == [DeliveryState.WAITING]


def test_trouble_in_its_place_holds_up_no_patient_s_result(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    with store_scp() as pacs:
        destination = SRDestination(name="pacs", host="127.0.0.1", port=pacs.port, called_ae_title="PACS", delay_s=0)
        one_of_each(spool, "pacs")
        shutil.rmtree(spool.root / "canary" / "outbox")
        (spool.root / "canary" / "outbox").touch()
        loop = loop_of(spool, destination)
        loop.round()
        a_study(spool, "pacs")
        loop.round()
    assert len(pacs.received) == 2
    assert caplog.text.count("the canary cannot be delivered: Not a directory") == 1


def test_one_that_is_removed_while_it_is_sent_raises_nothing(spool: Spool) -> None:
    partition = open_partition(spool)

    def remove(event: object) -> None:
        remove_canaries(partition, 0.0)

    with store_scp(before_answer=remove) as pacs:
        destination = SRDestination(name="pacs", host="127.0.0.1", port=pacs.port, called_ae_title="PACS", delay_s=0)
        canary = a_study(partition, "pacs")
        loop = loop_of(spool, destination)
        loop.round()
        assert len(pacs.received) == 1
        loop.round()
        assert len(pacs.received) == 1
    assert states(loop.canary, canary) == []
