"""Cost of checking a data set for faults, compared with pydicom alone, in turns. --rounds N, FILE...

Milliseconds of the processor. Worker: from bytes to attributes, and the ratio when the pixels are decoded too.
Delivery: from a file to its attributes without pixels. Without files: a phantom.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import TypeVar

from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian
from service import table

sys.path.insert(0, str(Path(__file__).parents[1]))

from triage.dicom.data_set import read_header
from triage.phantom.chest import PhantomSubject, as_dicom, draw
from triage.radiograph.attributes import read_attributes
from triage.radiograph.decode import decode_pixels, open_dicom

LARGE = 4096
T = TypeVar("T")


def worker_before(data: bytes) -> None:
    dataset = dcmread(BytesIO(data))
    read_attributes(dataset, str(dataset.file_meta.get("TransferSyntaxUID", ExplicitVRLittleEndian)))


def worker_now(data: bytes) -> None:
    assert isinstance(open_dicom(data), tuple)


def worker_with_pixels(data: bytes) -> None:
    opened = open_dicom(data)
    assert isinstance(opened, tuple)
    decode_pixels(*opened)


def delivery_before(path: Path) -> None:
    dcmread(path, stop_before_pixels=True, defer_size=LARGE)


def delivery_now(path: Path) -> None:
    with path.open("rb") as file:
        read_header(file)


def in_turns(rounds: int, argument: T, *steps: Callable[[T], None]) -> list[float]:
    """Return the median milliseconds of processor time of each step; each step comes first in its turn."""
    taken: dict[Callable[[T], None], list[float]] = {step: [] for step in steps}
    for number in range(rounds):
        first = number % len(steps)
        for step in (*steps[first:], *steps[:first]):
            started = time.process_time()
            step(argument)
            taken[step].append((time.process_time() - started) * 1000)
    return [median(taken[step]) for step in steps]


def measured(path: Path, rounds: int) -> tuple[str, ...]:
    before, now, pixels = in_turns(rounds, path.read_bytes(), worker_before, worker_now, worker_with_pixels)
    header_before, header_now = in_turns(rounds, path, delivery_before, delivery_now)
    ratio = pixels / (pixels - now + before)
    return (path.name, *(f"{each:.3f}" for each in (before, now, ratio, header_before, header_now)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("files", nargs="*", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        rows = [measured(path, arguments.rounds) for path in arguments.files or [phantom(Path(folder))]]
    print(table(("file", "worker: pydicom", "ours", "ratio with pixels", "delivery: pydicom", "ours"), rows))


def phantom(folder: Path) -> Path:
    path = folder / "phantom.dcm"
    path.write_bytes(as_dicom(draw(1, rows=2048, columns=2048), PhantomSubject()))
    return path


if __name__ == "__main__":
    main()
