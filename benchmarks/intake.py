"""C-STORE by DCMTK's dcmsend: 15 MB images over 1 and 4 associations, 200 kB ones over 16. Usage: intake.py

To our listener (which makes every object durable before it answers), to DCMTK's `storescp +B` (which does not) and to
stock pynetdicom with an fsync. The receivers take turns, so that what else the machine does falls on all of them alike;
a ratio is the median of those of the rounds. A time counts only if every image arrived. The receivers' processor time
for an image stands next to it: it says more than the rate where others use the machine. Last: the largest resident
memory that our listener had with ten associations at once. Ours is one process, as it is by default below eight cores.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from uuid import uuid4

import numpy as np
import psutil
from figures import higher, lower, report
from prometheus_client import CollectorRegistry
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, AllStoragePresentationContexts, evt
from service import load, table

from triage.listener import server as listener
from triage.listener.settings import ListenerSettings
from triage.listener.storage import StorageTarget, StorageTargets
from triage.metrics.listener import ListenerMetrics
from triage.spool.spool import Spool
from triage.spool.usage import HighWater

PDU = 131072
MANY = 10
MEMORY_BAR_MB = 150.0
_START_S = 60.0


@dataclass(frozen=True)
class Case:
    """What is sent: so many associations at once, images of so many rows and columns, and so many images of the large
    case's number. ``bar``: the least ratio to `storescp +B`.
    """

    name: str
    associations: int
    rows: int
    columns: int
    factor: int
    bar: float


CASES = (
    Case("one", 1, 3056, 2544, 1, 2.0),
    Case("four", 4, 3056, 2544, 1, 1.0),
    Case("sixteen_small", 16, 320, 320, 10, 1.5),
)


@dataclass(frozen=True)
class Measured:
    """One turn: images a second, and milliseconds of the receiver's processor time for an image."""

    rate: float
    cpu_ms: float


@dataclass(frozen=True)
class Receiver:
    """A receiver: ``start`` serves on a port into a folder, ``arrived`` counts the objects in the folder."""

    name: str
    start: Callable[[int, Path, int], tuple[int, Callable[[], None]]]
    arrived: Callable[[Path], int]


def make_images(folder: Path, count: int, shape: tuple[int, int] = (3056, 2544)) -> list[Path]:
    """Write ``count`` images of one study, different in their pixels."""
    random = np.random.default_rng(0)
    study = generate_uid()
    folder.mkdir(exist_ok=True)
    return [_write_image(folder / f"{number:03d}.dcm", study, random, shape) for number in range(count)]


def _write_image(path: Path, study: str, random: np.random.Generator, shape: tuple[int, int]) -> Path:
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = DigitalXRayImageStorageForPresentation, generate_uid()
    image.StudyInstanceUID, image.SeriesInstanceUID = study, generate_uid()
    image.Modality, image.PatientName, image.PatientID = "DX", "BENCHMARK", "BENCHMARK"
    image.Rows, image.Columns, image.SamplesPerPixel = *shape, 1
    image.PhotometricInterpretation, image.PixelRepresentation = "MONOCHROME2", 0
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    image.PixelData = random.integers(0, 4096, shape, dtype=np.uint16).tobytes()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.save_as(path, enforce_file_format=True)
    return path


def serve_ours(port: int, folder: Path) -> None:
    """Serve our listener, in a process of its own."""
    spool = Spool.open(folder / "spool")
    settings = ListenerSettings(port=port, max_pdu_bytes=PDU)
    targets = StorageTargets(StorageTarget(spool, ListenerMetrics(CollectorRegistry())), HighWater(1.0, 0))
    listener.run(settings, targets, lambda instance: None, lambda: os.getppid() == 1)


def serve_pynetdicom(port: int, folder: Path) -> None:
    """Serve stock pynetdicom: the encoded data set is written, fsynced and renamed."""
    ae = AE("STOCK")
    ae.maximum_pdu_size, ae.maximum_associations = PDU, 64
    for context in AllStoragePresentationContexts:
        ae.add_supported_context(str(context.abstract_syntax), ExplicitVRLittleEndian)
    ae.add_supported_context("1.2.840.10008.1.1")
    ae.start_server(("127.0.0.1", port), evt_handlers=[(evt.EVT_C_STORE, _store, [folder])])


def _store(event: evt.Event, folder: Path) -> int:
    part = folder / f"{uuid4().hex}.part"
    with part.open("wb") as file:
        file.write(event.encoded_dataset())
        file.flush()
        os.fsync(file.fileno())
    part.rename(part.with_suffix(".dcm"))
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    return 0x0000


def python_process(serve: Callable[[int, Path], None]) -> Callable[[int, Path, int], tuple[int, Callable[[], None]]]:
    """Start ``serve`` in a fresh interpreter, so that its memory is its own."""

    def start(port: int, folder: Path, associations: int) -> tuple[int, Callable[[], None]]:
        process = multiprocessing.get_context("spawn").Process(target=serve, args=(port, folder), daemon=True)
        process.start()
        assert process.pid
        return process.pid, lambda: (process.terminate(), process.join())[1]

    return start


def storescp(port: int, folder: Path, associations: int) -> tuple[int, Callable[[], None]]:
    """Start DCMTK's receiver, bit preserving; with several associations it forks, to serve them at once."""
    fork = ["--fork"] if associations > 1 else []
    process = subprocess.Popen(
        ["/usr/bin/storescp", "+B", *fork, "--max-pdu", str(PDU), "-od", str(folder), str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return process.pid, lambda: (process.terminate(), process.wait())[0]


def in_spool(folder: Path) -> int:
    """Return the number of objects in our spool."""
    return sum(1 for _ in Spool.open(folder / "spool").waiting())


def as_files(folder: Path) -> int:
    """Return the number of files of the right size."""
    return sum(1 for path in folder.iterdir() if path.stat().st_size > 320 * 320 * 2)


RECEIVERS = (
    Receiver("cxr-triage (fsync)", python_process(serve_ours), in_spool),
    Receiver("storescp +B (no fsync)", storescp, as_files),
    Receiver("pynetdicom (fsync)", python_process(serve_pynetdicom), as_files),
)
OURS, REFERENCE = RECEIVERS[0].name, RECEIVERS[1].name


@contextmanager
def running(receiver: Receiver, associations: int) -> Iterator[tuple[int, int, Path]]:
    """Run the receiver on a free port with an empty folder; yield port, process id, folder."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix="intake-") as name:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        pid, stop = receiver.start(port, Path(name), associations)
        try:
            _wait_for(port)
            yield port, pid, Path(name)
        finally:
            stop()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _START_S
    while subprocess.run(["/usr/bin/echoscu", "127.0.0.1", str(port)], capture_output=True).returncode:
        if time.monotonic() > deadline:
            raise SystemExit(f"no response on port {port}")
        time.sleep(0.1)


def send(images: list[Path], associations: int, port: int) -> float:
    """Return the seconds from the first sender's start to the last one's end; each sender has its own association."""
    began = time.perf_counter()
    senders = [
        subprocess.Popen(
            ["/usr/bin/dcmsend", "127.0.0.1", str(port), *map(str, images[number::associations])],
            stdout=subprocess.DEVNULL,
        )
        for number in range(associations)
    ]
    statuses = [sender.wait() for sender in senders]  # all of them, before one is judged
    if any(statuses):
        raise SystemExit("dcmsend failed")
    return time.perf_counter() - began


def measure(receiver: Receiver, images: list[Path], associations: int) -> Measured:
    """Return the rate into an empty receiver, and what it costs."""
    with running(receiver, associations) as (port, pid, folder):
        os.sync()  # so that the unwritten data of an earlier receiver does not count
        process = psutil.Process(pid)
        before = sum(process.cpu_times()[:4])
        seconds = send(images, associations, port)
        if (arrived := receiver.arrived(folder)) != len(images):
            raise SystemExit(f"{receiver.name}: {arrived} of {len(images)} images arrived")
        cpu = sum(process.cpu_times()[:4]) - before
        return Measured(len(images) / seconds, 1e3 * cpu / len(images))


def peak_memory(images: list[Path]) -> int:
    """Return the largest resident memory of our listener, in bytes, while ``MANY`` associations send at once."""
    ours = RECEIVERS[0]
    with running(ours, MANY) as (port, pid, folder):
        send(images, MANY, port)
        if ours.arrived(folder) != len(images):
            raise SystemExit("not every image arrived")
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    measured: dict[tuple[str, str], list[Measured]] = defaultdict(list)
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix="intake-images-") as name:
        sent = {
            case: make_images(Path(name) / case.name, arguments.images * case.factor, (case.rows, case.columns))
            for case in CASES
        }
        for _ in range(arguments.rounds):
            for case, receiver in product(CASES, RECEIVERS):
                turn = measure(receiver, sent[case], case.associations)
                measured[receiver.name, case.name].append(turn)
        memory = peak_memory(sent[CASES[0]]) / 1024**2
    print(
        table(("receiver", "associations", "images/s", "CPU ms each", "of storescp +B", "bar"), rows(measured)) + load()
    )
    verdict = "met" if memory < MEMORY_BAR_MB else "MISSED"
    print(f"\nlistener with {MANY} associations at once: at most {memory:.0f} MB (bar {MEMORY_BAR_MB:.0f}, {verdict})")
    report(lower("intake.memory", [memory], "MB", MEMORY_BAR_MB))
    for case in CASES:
        report(higher(f"intake.{case.name}", ratios(measured, OURS, case), bar=case.bar))


def ratios(measured: dict[tuple[str, str], list[Measured]], name: str, case: Case) -> list[float]:
    """Return the rate of a receiver over that of storescp, of each round."""
    pairs = zip(measured[name, case.name], measured[REFERENCE, case.name], strict=True)
    return [own.rate / other.rate for own, other in pairs]


def rows(measured: dict[tuple[str, str], list[Measured]]) -> list[tuple[str, ...]]:
    """Return the table's rows: medians, and ratios to storescp in the same round."""
    made = []
    for case, receiver in product(CASES, RECEIVERS):
        turns = measured[receiver.name, case.name]
        ratio = median(ratios(measured, receiver.name, case))
        verdict = f">= {case.bar}: {'met' if ratio >= case.bar else 'MISSED'}" if receiver.name == OURS else ""
        rate, cpu = (median(getattr(turn, field) for turn in turns) for field in ("rate", "cpu_ms"))
        size = f"{case.associations} x {case.rows * case.columns * 2 / 1e6:.1f} MB"
        made.append((receiver.name, size, f"{rate:.1f}", f"{cpu:.1f}", f"{ratio:.2f}", verdict))
    return made


if __name__ == "__main__":
    main()
