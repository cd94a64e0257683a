"""Backlogs of JPEG 2000, JPEG-LS and JPEG lossless (12 bits, 1024 x 1024), to tags. Usage: compressed_backlog.py

As `backlog.py`, for each syntax a service of its own. For comparison, before and after the service in the same run: the
decoder's library alone, on the same codestreams, on every core (the bar is 1.15 times that), and this and the bare
session after each other: a codec that decodes faster than the network runs cannot meet the bar.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import imagecodecs
import jpeg_ls
import numpy as np
import numpy.typing as npt
import openjpeg
from backlog import AGE, SIDE, Cost, bare_session, fill, noisy, tags
from figures import lower, report
from latency import study
from pydicom.encaps import generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless
from service import Service, load, table

from triage.model.card import load_cards
from triage.model.registry import ChosenModels, RegistryPolicy, choose
from triage.phantom import chest as phantom
from triage.runtime.heap import keep_freed_memory
from triage.scoring.assess import AssessmentPolicy, prepare
from triage.spool.spool import Spool

BAR = 1.15
_DIFFERENT = 4  # codestreams; the studies differ in their UIDs

DECODERS: dict[str, tuple[str, Callable[[bytes], object]]] = {
    "jpeg_2000": (JPEG2000Lossless, openjpeg.decode),
    "jpeg_ls": (JPEGLSLossless, jpeg_ls.decode_buffer),
    "jpeg_lossless": (JPEGLosslessSV1, imagecodecs.jpeg8_decode),
}
"""Transfer syntax and decoder alone, by the name of the figure."""


def codestreams(name: str) -> list[bytes]:
    """Return different images in one syntax."""
    chest, rng = phantom.draw(1, rows=SIDE, columns=SIDE).astype(np.int32), np.random.default_rng(1)
    return [_encoded(name, noisy(chest, rng)) for _ in range(_DIFFERENT)]


def _encoded(name: str, pixels: npt.NDArray[np.uint16]) -> bytes:
    if name == "jpeg_lossless":
        return bytes(imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=1, bitspersample=12))
    dataset = study(pixels.tobytes())
    dataset.Rows = dataset.Columns = SIDE
    dataset.compress(DECODERS[name][0], generate_instance_uid=False)
    return next(generate_frames(dataset.PixelData, number_of_frames=1))


def decoder_alone(name: str, frames: list[bytes], studies: int) -> Cost:
    """Return the cost of the library's decoder for as many images on every core."""
    cores = len(os.sched_getaffinity(0))
    each = -(-studies // cores)
    with ProcessPoolExecutor(cores, initializer=keep_freed_memory) as pool:
        list(pool.map(_decode, [(name, frames, 1)] * cores))
        began = time.perf_counter()
        cpu = sum(pool.map(_decode, [(name, frames, each)] * cores))
        return Cost(time.perf_counter() - began, cpu).times(studies / (each * cores))


def _decode(work: tuple[str, list[bytes], int]) -> float:
    """Decode so many images and return the processor seconds."""
    name, frames, count = work
    decode, began = DECODERS[name][1], time.process_time()
    for number in range(count):
        decode(frames[number % len(frames)])
    return time.process_time() - began


def session_alone(data: bytes, models: Path, studies: int) -> Cost:
    """Return the cost of the bare session for as many images like one in the spool."""
    cards = load_cards(models, ())
    prepared = prepare(data, cards, AssessmentPolicy(registry=RegistryPolicy(allow_demo=True)))
    chosen = choose(cards, AGE, RegistryPolicy(allow_demo=True))
    assert isinstance(chosen, ChosenModels) and prepared.model_input is not None
    return bare_session(models / chosen.cards[0].name, prepared.model_input, studies)


def measure(name: str, studies: int, models: Path) -> tuple[Cost, list[Cost], Cost]:
    """Return what the service costs for a backlog, the decoder alone before and after it, and the session alone."""
    frames = codestreams(name)
    service = Service(TRIAGE_MODELS_ALLOW_DEMO="true", TRIAGE_MODELS_PATH=str(models.resolve()))
    spool = Spool.open(service.folder / "spool")
    fill(spool, studies, frames, DECODERS[name][0])
    before = decoder_alone(name, frames, studies)
    session = session_alone(spool.inbox_path(next(iter(spool.waiting()))).read_bytes(), models, studies)
    with service:
        left = sum(1 for _ in spool.waiting())
        took, _ = tags(service, spool, studies)
    return took.times(studies / max(left, 1)), [before, decoder_alone(name, frames, studies)], session


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--syntax", choices=DECODERS, action="append", help="one or more; without it all")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.syntax or DECODERS:
        whole, turns, session = measure(name, arguments.studies, arguments.models)
        clock, cpu = ([getattr(whole, of) / getattr(turn, of) for turn in turns] for of in ("clock", "cpu"))
        alone = (turns[0] + turns[1]).times(0.5)
        ratio = whole.clock / alone.clock
        rows.append(
            (
                name,
                f"{whole.clock:.1f} s",
                f"{arguments.studies / whole.clock:.0f}",
                f"{alone.clock:.1f} s",
                f"{ratio:.2f}",
                f"{whole.cpu / alone.cpu:.2f}",
                f"{BAR}: {'met' if ratio <= BAR else 'MISSED'}",
                f"{whole.clock / (alone + session).clock:.2f}",
            )
        )
        report(
            lower(f"backlog.{name}_of_decoder", clock, bar=BAR),
            lower(f"backlog.{name}_processors_of_decoder", cpu),
            lower(f"backlog.{name}_of_decoder_and_session", [whole.clock / (turn + session).clock for turn in turns]),
        )
    print(f"{arguments.studies} DX studies of {SIDE}x{SIDE}, 12 bits{load()}")
    print(table(("syntax", "to tags", "images/s", "decoder", "ratio", "processors", "bar", "with session"), rows))


if __name__ == "__main__":
    main()
