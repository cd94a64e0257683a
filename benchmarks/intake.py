"""C-STORE of 15 MB images by DCMTK's dcmsend, with 1 and 4 associations. Usage: intake.py [--images N] [--rounds N]

To our listener (which makes every object durable before it answers), to DCMTK's `storescp +B` (which does not) and to
stock pynetdicom with an fsync. The receivers take turns, so that what else the machine does falls on all of them alike;
a ratio is the median of those of the rounds. A time counts only if every image arrived. Last: the largest resident
memory that our listener had with ten associations at once.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from uuid import uuid4

import numpy as np
from prometheus_client import CollectorRegistry
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, AllStoragePresentationContexts, evt
from service import table

from triage.listener import server as listener
from triage.listener.settings import ListenerSettings
from triage.listener.storage import StorageTarget, StorageTargets
from triage.metrics.listener import ListenerMetrics
from triage.spool.spool import Spool
from triage.spool.usage import HighWater

ROWS, COLUMNS = 3056, 2544
PDU = 131072
ASSOCIATIONS = (1, 4)
MANY = 10
BARS = {1: 1.5, 4: 0.8}
MEMORY_BAR = 300 * 1024**2
_START_S = 60.0


@dataclass(frozen=True)
class Receiver:
    """A receiver: ``start`` serves on a port into a folder, ``arrived`` counts the objects in the folder."""

    name: str
    start: Callable[[int, Path, int], tuple[int, Callable[[], None]]]
    arrived: Callable[[Path], int]


def make_images(folder: Path, count: int) -> list[Path]:
    """Write ``count`` DX images of one study, 15.5 MB each, different in their pixels."""
    random = np.random.default_rng(0)
    study = generate_uid()
    return [_write_image(folder / f"{number:03d}.dcm", study, random) for number in range(count)]


def _write_image(path: Path, study: str, random: np.random.Generator) -> Path:
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = DigitalXRayImageStorageForPresentation, generate_uid()
    image.StudyInstanceUID, image.SeriesInstanceUID = study, generate_uid()
    image.Modality, image.PatientName, image.PatientID = "DX", "BENCHMARK", "BENCHMARK"
    image.Rows, image.Columns, image.SamplesPerPixel = ROWS, COLUMNS, 1
    image.PhotometricInterpretation, image.PixelRepresentation = "MONOCHROME2", 0
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    image.PixelData = random.integers(0, 4096, (ROWS, COLUMNS), dtype=np.uint16).tobytes()
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
    ae.maximum_pdu_size = PDU
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
    return sum(1 for path in folder.iterdir() if path.stat().st_size > ROWS * COLUMNS * 2)


RECEIVERS = (
    Receiver("cxr-triage (fsync)", python_process(serve_ours), in_spool),
    Receiver("storescp +B (no fsync)", storescp, as_files),
    Receiver("pynetdicom (fsync)", python_process(serve_pynetdicom), as_files),
)


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


def rate(receiver: Receiver, images: list[Path], associations: int) -> float:
    """Return the images per second into an empty receiver."""
    with running(receiver, associations) as (port, _, folder):
        os.sync()  # so that the unwritten data of an earlier receiver does not count
        seconds = send(images, associations, port)
        if (arrived := receiver.arrived(folder)) != len(images):
            raise SystemExit(f"{receiver.name}: {arrived} of {len(images)} images arrived")
        return len(images) / seconds


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
    rates: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix="intake-images-") as name:
        images = make_images(Path(name), max(arguments.images, MANY))
        for _ in range(arguments.rounds):
            for associations in ASSOCIATIONS:
                for receiver in RECEIVERS:
                    measured = rate(receiver, images, associations)
                    rates.setdefault((receiver.name, associations), []).append(measured)
        memory = peak_memory(images)
    print(table(["receiver", "associations", "images/s", "of storescp +B", "bar"], rows(rates)))
    verdict = "met" if memory < MEMORY_BAR else "MISSED"
    megabytes = memory / 1024**2
    print(f"\nlistener with {MANY} associations at once: at most {megabytes:.0f} MB resident (bar: 300 MB, {verdict})")


def rows(rates: dict[tuple[str, int], list[float]]) -> list[list[str]]:
    """Return the table's rows: medians, and ratios to storescp in the same round."""
    made = []
    for (name, associations), measured in sorted(rates.items(), key=lambda item: item[0][1]):
        reference = rates[RECEIVERS[1].name, associations]
        ratio = median(own / other for own, other in zip(measured, reference, strict=True))
        bar = BARS[associations]
        verdict = f">= {bar}: {'met' if ratio >= bar else 'MISSED'}" if name == RECEIVERS[0].name else ""
        made.append([name, str(associations), f"{median(measured):.1f}", f"{ratio:.2f}", verdict])
    return made


if __name__ == "__main__":
    main()
