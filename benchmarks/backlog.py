"""1,344 uncompressed DX studies of 1024 x 1024 that lie in the spool, to tags. Usage: backlog.py [--studies N]

The studies are chest phantoms, each with noise of its own. They are put into the inbox as the listener puts them there,
and then `triage up` is started. The clock starts when the worker says it is ready (its models are loaded and warm) and
stops when the last study's decision is on the disk and the inbox is empty. For comparison, in the same run: the bare
ONNX Runtime session on as many prepared inputs, and the bare decoding and preprocessing on as many cores, each before
and after the service. Processor time stands next to the time on the clock: other programs change it least.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
from figures import lower, report
from idle import spent
from latency import study
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian
from service import Service, load, table

from triage.dicom.part10 import Receipt, header
from triage.model.card import WEIGHTS, ModelCard, load_cards
from triage.model.onnx_runtime import onnxruntime
from triage.model.registry import ChosenModels, RegistryPolicy, choose
from triage.phantom import chest as phantom
from triage.radiograph.types import FloatImage
from triage.runtime.heap import keep_freed_memory
from triage.scoring.assess import AssessmentPolicy, prepare
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool

SIDE = 1024
BAR = 1.2
_TIMEOUT_S = 900.0
AGE = 50.0


def fill(spool: Spool, studies: int, frames: Sequence[bytes] = (), syntax: str = ExplicitVRLittleEndian) -> None:
    """Put ``studies`` studies of one image into the inbox; compressed ones have ``frames`` of ``syntax`` in turn."""
    chest = phantom.draw(1, rows=SIDE, columns=SIDE).astype(np.int32)
    rng = np.random.default_rng(1)
    for number in range(studies):
        if frames:
            dataset = study(encapsulate([frames[number % len(frames)]]))
            dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
        else:
            dataset = study(noisy(chest, rng).tobytes())
        put(spool, dataset, syntax)
        if number % 100 == 0:
            print(f"\rfilling the spool: {number} of {studies}", end="", file=sys.stderr)
    print(file=sys.stderr)


def noisy(chest: npt.NDArray[np.int32], rng: np.random.Generator) -> npt.NDArray[np.uint16]:
    """Return a phantom with noise, 12 bits."""
    return np.clip(chest + rng.integers(-8, 9, chest.shape), 0, 4095).astype("<u2")


def put(spool: Spool, dataset: Dataset, syntax: str) -> None:
    """Put an object of ``SIDE`` rows and columns into the inbox as the listener does."""
    dataset.Rows = dataset.Columns = SIDE
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = False, True
    write_dataset(stream, dataset)
    data = stream.getvalue()
    instance = ReceivedInstance(dataset.StudyInstanceUID, dataset.SOPInstanceUID, sha256(data).hexdigest())
    receipt = Receipt(time.time(), "BENCHMARK", "CXR_TRIAGE", "127.0.0.1", syntax)
    part = spool.new_part()
    with part.open("wb") as file:
        file.write(header(dataset.SOPClassUID, dataset.SOPInstanceUID, syntax, receipt) + data)
        file.flush()
        spool.receive(part, file.fileno(), instance)


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock, and of the processors."""

    clock: float
    cpu: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.clock + other.clock, self.cpu + other.cpu)

    def times(self, factor: float) -> Cost:
        """Return so many times the cost."""
        return Cost(self.clock * factor, self.cpu * factor)


def tags(service: Service, spool: Spool, studies: int) -> tuple[Cost, dict[str, float]]:
    """Return the cost from now until every study is tagged and the inbox is empty; processor seconds of each role."""
    assert service.process is not None
    before = spent(service.process.pid)
    began, deadline = time.perf_counter(), time.monotonic() + _TIMEOUT_S
    while next(iter(spool.waiting()), None) is not None:
        assert service.process is not None
        if service.process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"not all studies were tagged; the log is in {service.folder}/log")
        time.sleep(0.05)
    took = time.perf_counter() - began
    after = spent(service.process.pid)
    roles = {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}
    decided = [decision["tag"] for decision in spool.decisions()]
    if len(decided) != studies:
        raise SystemExit(f"{len(decided)} studies have a decision, not {studies}")
    print("tags:", {tag: decided.count(tag) for tag in sorted(set(decided))})
    return Cost(took, sum(roles.values())), roles


def bare_session(folder: Path, model_input: FloatImage, studies: int) -> Cost:
    """Return the cost of ONNX Runtime alone on as many inputs, one at a time as the service scores them."""
    session = onnxruntime.InferenceSession(str(folder / WEIGHTS), providers=["CPUExecutionProvider"])
    some, one = min(studies, 256), {"image": model_input[np.newaxis]}
    session.run(None, one)
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(some):
        session.run(None, one)
    return Cost(time.perf_counter() - began, time.process_time() - cpu).times(studies / some)


def bare_decoding(data: bytes, cards: dict[str, ModelCard], studies: int) -> Cost:
    """Return the cost of decoding and preprocessing alone on every core."""
    cores = len(os.sched_getaffinity(0))
    some = min(studies, 400)
    with ProcessPoolExecutor(cores, initializer=keep_freed_memory) as pool:
        list(pool.map(_decode, [(data, cards, 1)] * cores))
        began = time.perf_counter()
        cpu = sum(pool.map(_decode, [(data, cards, some // cores)] * cores))
        return Cost(time.perf_counter() - began, cpu).times(studies / some)


def _decode(work: tuple[bytes, dict[str, ModelCard], int]) -> float:
    """Prepare an object so many times, and return the processor seconds."""
    data, cards, times = work
    began = time.process_time()
    for _ in range(times):
        prepare(data, cards, AssessmentPolicy(registry=RegistryPolicy(allow_demo=True)))
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1344)
    parser.add_argument("--models", type=Path, default=Path("models"))
    arguments = parser.parse_args()
    studies: int = arguments.studies
    service = Service(TRIAGE_MODELS_ALLOW_DEMO="true", TRIAGE_MODELS_PATH=str(arguments.models.resolve()))
    spool = Spool.open(service.folder / "spool")
    fill(spool, studies)
    one = spool.inbox_path(next(iter(spool.waiting()))).read_bytes()
    cards = load_cards(arguments.models, ())
    policy = RegistryPolicy(allow_demo=True)
    chosen = choose(cards, AGE, policy)
    assert isinstance(chosen, ChosenModels)
    (card,) = chosen.cards
    prepared = prepare(BytesIO(one).getvalue(), cards, AssessmentPolicy(registry=policy))
    assert prepared.model_input is not None

    def bare() -> tuple[Cost, Cost]:
        assert prepared.model_input is not None
        return bare_session(arguments.models / card.name, prepared.model_input, studies), bare_decoding(
            one, cards, studies
        )

    before = bare()
    with service:
        already = studies - sum(1 for _ in spool.waiting())
        took, roles = tags(service, spool, studies)
    turns = [before, bare()]
    whole = took.times(studies / max(studies - already, 1))
    session, decoding = (turns[0][part] + turns[1][part] for part in (0, 1))
    rows = [
        _row(name, each, whole, studies)
        for name, each in (
            ("the service, to tags", whole),
            ("bare session, one process", session.times(0.5)),
            ("bare decoding, every core", decoding.times(0.5)),
            ("both after each other", (session + decoding).times(0.5)),
        )
    ]
    print(f"{studies} DX studies of {SIDE}x{SIDE}, model {card.model_id}{load()}")
    print(f"({already} were tagged before every process was ready; the costs are scaled to all)")
    print(table(("part", "seconds", "images/s", "service / this", "processors", "service / this"), rows))
    share = studies / max(studies - already, 1)
    print("processor seconds: " + ", ".join(f"{name} {each * share:.1f}" for name, each in sorted(roles.items())))
    both = [one_session + one_decoding for one_session, one_decoding in turns]
    ratios = [whole.clock / each.clock for each in both]
    verdict = "met" if median(ratios) <= BAR else "MISSED"
    print(f"of session and decoding after each other: {median(ratios):.2f} (bar {BAR}: {verdict})")
    report(
        lower("backlog.of_decode_and_session", ratios, bar=BAR),
        lower("backlog.processors_of_decode_and_session", [whole.cpu / each.cpu for each in both]),
    )


def _row(name: str, cost: Cost, whole: Cost, studies: int) -> tuple[str, ...]:
    return (
        name,
        f"{cost.clock:.1f} s",
        f"{studies / cost.clock:.0f}",
        f"{whole.clock / cost.clock:.2f}",
        f"{cost.cpu:.1f} s",
        f"{whole.cpu / cost.cpu:.2f}",
    )


if __name__ == "__main__":
    main()
