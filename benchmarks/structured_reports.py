"""Structured reports made and sent, compared with a bare loop of highdicom and pynetdicom. --studies N, --folder F

Both read the same images' attributes, make one Comprehensive 3D SR for each study and send it over one association to
the same DCMTK storescp, in turns. The bare loop keeps nothing: no fsync, no receipt, nothing that survives a crash. The
outbox is below --folder, because the cost of fsync is that of the disk.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from figures import higher, report
from highdicom import sr
from prometheus_client import CollectorRegistry
from pydicom import dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE
from service import free_ports, table

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.studies import a_study
from triage.channels.registry import channel_of
from triage.channels.sr.settings import SRDestination
from triage.delivery.deliverer import Deliverer
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryState
from triage.metrics.delivery import DeliveryMetrics
from triage.spool.spool import Spool

ROUNDS = 5
BAR = 0.8


def bare(spool: Spool, studies: list[str], port: int) -> None:
    """Make a report of each study, and send it at once."""
    entity = AE("BARE")
    entity.add_requested_context(Comprehensive3DSRStorage, ExplicitVRLittleEndian)
    association = entity.associate("127.0.0.1", port)
    for study in studies:
        (path,) = spool.study_folder(study).glob("*.dcm")
        status = association.send_c_store(bare_report(path)).Status
        assert status == 0x0000, hex(status)
    association.release()


def bare_report(path: Path) -> sr.Comprehensive3DSR:
    image = dcmread(path, stop_before_pixels=True)
    device = sr.DeviceObserverIdentifyingAttributes(uid=generate_uid(), name="bare")
    probability = sr.CodedConcept("probability", "99BARE", "Probability")
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(generate_uid(), "image 1"),
        source_images=[sr.SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID)],
        measurements=[
            sr.Measurement(
                probability, 0.91, codes.UCUM.NoUnits, algorithm_id=sr.AlgorithmIdentification("bare", "1", ["0.5"])
            )
        ],
        qualitative_evaluations=[sr.QualitativeEvaluation(codes.DCM.Normality, codes.SCT.Abnormal)],
    )
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=sr.ObserverContext(codes.DCM.Device, device)),
        procedure_reported=sr.CodedConcept("399208008", "SCT", "Plain X-ray of chest"),
        imaging_measurements=[group],
    )
    return sr.Comprehensive3DSR(
        evidence=[image],
        content=content,
        series_instance_uid=generate_uid(),
        series_number=1,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="bare",
        is_complete=True,
    )


def ours(spool: Spool, studies: list[str], port: int) -> None:
    """Do the work of the destination's thread, from marks to receipts."""
    destination = SRDestination(name="pacs", host="127.0.0.1", port=port, called_ae_title="PACS", delay_s=0.0)
    outbox = Outbox(spool)
    deliverer = Deliverer(
        spool,
        outbox,
        destination,
        channel_of(destination),
        DeliveryMetrics(CollectorRegistry()),
        now=lambda: time.time() + 1,
    )
    while outbox.marked("pacs") or outbox.waiting("pacs"):
        deliverer.round()
    assert all(record.state is DeliveryState.DELIVERED for study in studies for record in outbox.records(study))


def timed(action: Callable[[Spool, list[str], int], None], folder: Path, count: int, port: int) -> float:
    """Return the studies per second of ``action``."""
    spool = Spool.open(Path(tempfile.mkdtemp(prefix="cxr-bench-", dir=folder)) / "spool")
    studies = [a_study(spool, "pacs") for _ in range(count)]
    started = time.perf_counter()
    action(spool, studies, port)
    seconds = time.perf_counter() - started
    shutil.rmtree(spool.root.parent)
    return count / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=40)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    arguments = parser.parse_args()
    (port,) = free_ports(1)
    received = Path(tempfile.mkdtemp(prefix="cxr-bench-"))
    scp = subprocess.Popen(["/usr/bin/storescp", "--fork", "-od", str(received), str(port)])
    try:
        time.sleep(1.0)
        for action in (bare, ours):  # imports and caches
            timed(action, arguments.folder, 3, port)
        rates = {action: [] for action in (bare, ours)}
        for _ in range(ROUNDS):
            for action, found in rates.items():
                found.append(timed(action, arguments.folder, arguments.studies, port))
    finally:
        scp.terminate()
        scp.wait()
    arrived = len(list(received.iterdir()))
    assert arrived == 2 * (3 + ROUNDS * arguments.studies), arrived
    shutil.rmtree(received)
    theirs, mine = median(rates[bare]), median(rates[ours])
    rows = [["highdicom + pynetdicom", f"{theirs:.1f}", ""], ["triage deliver", f"{mine:.1f}", f"{mine / theirs:.2f}"]]
    print(table(["", "studies/s", "ratio"], rows))
    pairs = zip(rates[ours], rates[bare], strict=True)
    report(higher("structured_reports.of_bare", [own / other for own, other in pairs], bar=BAR))


if __name__ == "__main__":
    main()
