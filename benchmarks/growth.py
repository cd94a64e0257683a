"""Cost against size: 1,000, 10,000 and 100,000 studies kept, and objects waiting. Usage: growth.py [--sizes N ...]

``growth.py --sizes 100000 1000000 --kept`` is the largest: 20 GB of small files (BENCH_FOLDER) and most of an hour.

Studies are generated: a folder with its decision, its assessment and a sparse image. Measured are processor seconds of
this process, which others on the machine disturb least, and of Redis: of a restart (the index is rebuilt), a sweep when
nothing is new, one after ten new studies, a page of the worklist at its end; and of the web process's own list: its
first reading, a search for a patient ID when nothing is new, after a new study, and a minute later, when every study's
folder is looked at. With objects in the inbox instead of studies: a sweep over them, and the queueing of all (the
first sweep).

Printed with each is the exponent between the two largest sizes: 0 does not grow, 1 grows like the number.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from math import log
from pathlib import Path
from statistics import median
from struct import pack

import psutil
from figures import lower, report
from latency import study
from page import decision, redis
from patient_search import MINUTE_S, Clock
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian
from redis import Redis
from service import load, table

from triage.decision.identity import PatientMarks, mark
from triage.decision.records import to_record
from triage.decision.types import ImageAssessment, Tag, TriageDecision
from triage.dicom.identity import patient_marks
from triage.dicom.part10 import Receipt, header
from triage.metrics.reconcile import ReconcileMetrics
from triage.service.reconciler import Reconciler
from triage.settings.schema import Settings
from triage.spool.instance import ReceivedInstance
from triage.spool.result_files import DECISION, HISTORY
from triage.spool.spool import Spool
from triage.worklist.index import IndexedWorklist
from triage.worklist.indexed_query import IndexedQuery
from triage.worklist.query import ListRequest

SIZES = (1_000, 10_000, 100_000)
TURNS = 5
NEW = 10
_IMAGE_BYTES = 15_500_000  # sparse
_ASSESSMENT = ImageAssessment(
    study_instance_uid="",
    series_instance_uid="1.2",
    sop_instance_uid="",
    content_digest="",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
    accession_number="",
    modality="DX",
    view="PA",
    calling_ae_title="BENCHMARK",
    received_at=1e9,
    assessed_at=1e9,
    tag=Tag.NORMAL,
    probability=0.5,
    reasons=(),
    model_id="rsna-adult 1.0.0",
)


@dataclass(frozen=True)
class Place:
    """A spool, a Redis, and the sweeps of one process."""

    spool: Spool
    client: Redis
    reconciler: Reconciler
    server: psutil.Process

    def cost(self, action: Callable[[], object]) -> float:
        """Return the processor seconds of ``action``, here and in Redis."""
        began = time.process_time() + sum(self.server.cpu_times()[:2])
        action()
        return time.process_time() + sum(self.server.cpu_times()[:2]) - began


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    """Yield an empty spool with a Redis of its own."""
    spool = Spool.open(folder / "spool")
    with redis(folder / "redis") as url, Redis.from_url(url) as client:
        settings = Settings.model_validate(
            {"spool": {"path": str(spool.root), "retention_days": 3650}, "redis": {"url": url}}
        )
        server = psutil.Process(int(client.info("server")["process_id"]))
        yield Place(spool, client, Reconciler(settings, spool, url, ReconcileMetrics()), server)


def keep(spool: Spool, number: int, start: float) -> None:
    """Write the files of a tagged study, without waiting for the disk."""
    found = replace(decision(number, start), revision=f"{number:064x}")
    uid = found.study_instance_uid
    folder = spool.study_folder(uid)
    folder.mkdir(parents=True)
    record = json.dumps(to_record(found))
    (folder / HISTORY).write_text("\n" + record)
    (folder / DECISION).write_text(record)
    name = f"{uid}.1+{number:064x}"
    assessment = replace(
        _ASSESSMENT,
        study_instance_uid=uid,
        sop_instance_uid=f"{uid}.1",
        content_digest=f"{number:064x}",
        accession_number=found.accession_number,
        patient=replace(_patient(), identifiers=((mark(patient_id(number)), ""),)),
    )
    (folder / f"{name}.json").write_text(json.dumps(to_record(assessment)))
    with (folder / f"{name}.dcm").open("wb") as image:
        image.write(_head_of(found))
        image.truncate(image.tell() + _IMAGE_BYTES)


def _head_of(found: TriageDecision) -> bytes:
    """Return the DICOM file of a study up to its pixels: that of the first one with its own numbers, as many bytes."""
    first, number = decision(0, 0.0), int(found.accession_number[1:])
    head = _head().replace(first.study_instance_uid.encode(), found.study_instance_uid.encode())
    head = head.replace(first.accession_number.encode(), found.accession_number.encode())
    return head.replace(patient_id(0).encode(), patient_id(number).encode())


@cache
def _head() -> bytes:
    """Return the DICOM file of the first study up to its pixels."""
    dataset = _first()
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = False, True
    write_dataset(stream, dataset)
    receipt = Receipt(time.time(), "BENCHMARK", "CXR_TRIAGE", "127.0.0.1", ExplicitVRLittleEndian)
    head = header(dataset.SOPClassUID, dataset.SOPInstanceUID, ExplicitVRLittleEndian, receipt)
    return head + stream.getvalue() + pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, _IMAGE_BYTES)


@cache
def _patient() -> PatientMarks:
    return patient_marks(_first())


def _first() -> Dataset:
    dataset, first = study(b""), decision(0, 0.0)
    dataset.remove_private_tags()
    del dataset.PixelData
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = first.study_instance_uid, _ASSESSMENT.series_instance_uid
    dataset.SOPInstanceUID, dataset.SOPClassUID = f"{first.study_instance_uid}.1", _ASSESSMENT.sop_class_uid
    dataset.AccessionNumber, dataset.PatientID = first.accession_number, patient_id(0)
    return dataset


def kept(folder: Path, size: int) -> dict[str, float]:
    """Return the costs with so many studies kept."""
    with place(folder) as there:
        start = time.time() - size - 3600
        for number in range(size):
            keep(there.spool, number, start)
        found = {"restart": there.cost(there.reconciler.run)}
        for _ in range(3):  # what follows a restart
            there.reconciler.run()
        found["sweep"] = median(there.cost(there.reconciler.run) for _ in range(TURNS))
        index = IndexedWorklist(there.client)

        def sweep_with_new(turn: int) -> float:
            for number in range(size + turn * NEW, size + (turn + 1) * NEW):
                keep(there.spool, number, start)
                index.put(replace(decision(number, start), revision=f"{number:064x}"))
            return there.cost(there.reconciler.run)

        found["sweep, ten new"] = median(map(sweep_with_new, range(TURNS)))
        cursor, pages = None, 0
        while (page := index.page(cursor, 500, time.time())).next_cursor is not None and pages < size // 500 - 1:
            cursor, pages = page.next_cursor, pages + 1
        found["page"] = there.cost(lambda: [index.page(cursor, 50, time.time()) for _ in range(100)]) / 100
        return found | searches(there, size + TURNS * NEW, start)


def searches(there: Place, size: int, start: float) -> dict[str, float]:
    """Return the costs of the list as the web process keeps it, with so many studies kept."""
    clock, index = Clock(), IndexedWorklist(there.client)
    query = IndexedQuery(index, there.spool, 3600.0, clock)

    def first_reading() -> None:
        while not query.catch_up(2.0):
            pass

    def search(number: int) -> None:
        page = query.page(ListRequest(patient=patient_id(number).lower()), time.time())
        assert page.complete and page.matching == 1, (page.complete, page.matching)

    def search_after(number: int, later_s: float) -> float:
        keep(there.spool, number, start)
        index.put(replace(decision(number, start), revision=f"{number:064x}"))
        clock.ahead += later_s
        return there.cost(lambda: search(number))

    found = {"first reading": there.cost(first_reading)}
    found["search"] = median(there.cost(lambda: search(0)) for _ in range(TURNS))
    found["search, one new"] = median(search_after(size + turn, 0.0) for turn in range(TURNS))
    found["search, a minute later"] = median(search_after(size + TURNS + turn, MINUTE_S) for turn in range(TURNS))
    return found


def patient_id(number: int) -> str:
    """Return the patient ID of a study: as many characters as the one in ``_head``."""
    return f"P{number:08d}"


def waiting(folder: Path, size: int) -> dict[str, float]:
    """Return the costs with so many objects that wait for a worker."""
    with place(folder) as there:
        for number in range(size):
            instance = ReceivedInstance(f"1.2.{number}", f"1.2.{number}.1", f"{number:064x}")
            with there.spool.inbox_path(instance).open("wb") as image:
                image.write(_head())
                image.truncate(image.tell() + _IMAGE_BYTES)
        found = {"queueing": there.cost(there.reconciler.run)}
        found["sweep, all waiting"] = median(there.cost(there.reconciler.run) for _ in range(TURNS))
        return found


def exponent(costs: dict[int, float]) -> float:
    """Return the power of the number with which the cost grows between the two largest sizes."""
    small, large = sorted(costs)[-2:]
    return log(max(costs[large], 1e-6) / max(costs[small], 1e-6)) / log(large / small)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    costs: dict[str, dict[int, float]] = {}
    parser.add_argument("--kept", action="store_true", help="only studies that are kept, no objects that wait")
    arguments = parser.parse_args()
    sizes = sorted(arguments.sizes)
    for size in sizes:
        folder = Path(tempfile.mkdtemp(prefix="cxr-bench-", dir=os.environ.get("BENCH_FOLDER")))
        try:
            of_objects = {} if arguments.kept else waiting(folder / "waiting", size)
            for name, cost in (kept(folder / "kept", size) | of_objects).items():
                costs.setdefault(name, {})[size] = cost
        finally:
            shutil.rmtree(folder)
        print(f"{size}: done", file=sys.stderr, flush=True)
    rows = [
        (name, *(f"{1e3 * each[size]:.1f} ms" for size in sizes), f"{exponent(each):.2f}")
        for name, each in costs.items()
    ]
    print(f"processor time, here and in Redis{load()}", flush=True)
    print(table(("", *(f"{size:,}" for size in sizes), "exponent"), rows))
    report(*(lower(f"growth.{name.replace(', ', '_').replace(' ', '_')}", [exponent(costs[name])]) for name in costs))


if __name__ == "__main__":
    main()
