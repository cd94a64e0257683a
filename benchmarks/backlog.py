"""1,344 uncompressed DX studies of 1024 x 1024 that lie in the spool, to tags. Usage: backlog.py [--studies N]

The studies are chest phantoms, each with noise of its own. They are put into the inbox as the listener puts them there,
and then `triage up` is started. The clock starts when the worker says it is ready (its models are loaded and warm) and
stops when the last study's decision is on the disk and the inbox is empty. For comparison, in the same run: the bare
ONNX Runtime session on as many prepared inputs, and the bare decoding and preprocessing on as many cores.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
from bare_session import bare_loop
from latency import study
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian
from service import Service, load, table

from triage.dicom.part10 import Receipt, header
from triage.model.card import ModelCard, load_cards
from triage.model.registry import ChosenModels, RegistryPolicy, choose
from triage.phantom import chest as phantom
from triage.radiograph.types import FloatImage
from triage.scoring.assess import AssessmentPolicy, prepare
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool

SIDE = 1024
BAR_S, AIM_S = 50.0, 25.0
_TIMEOUT_S = 900.0
_AGE = 50.0


def fill(spool: Spool, studies: int) -> None:
    """Put ``studies`` studies of one image into the inbox."""
    chest = phantom.draw(1, rows=SIDE, columns=SIDE).astype(np.int32)
    rng = np.random.default_rng(1)
    for number in range(studies):
        noisy = np.clip(chest + rng.integers(-8, 9, chest.shape), 0, 4095).astype("<u2")
        dataset = study(noisy.tobytes())
        dataset.Rows = dataset.Columns = SIDE
        stream = DicomBytesIO()
        stream.is_implicit_VR, stream.is_little_endian = False, True
        write_dataset(stream, dataset)
        data = stream.getvalue()
        instance = ReceivedInstance(dataset.StudyInstanceUID, dataset.SOPInstanceUID, sha256(data).hexdigest())
        receipt = Receipt(time.time(), "BENCHMARK", "CXR_TRIAGE", "127.0.0.1", ExplicitVRLittleEndian)
        part = spool.new_part()
        with part.open("wb") as file:
            file.write(header(dataset.SOPClassUID, dataset.SOPInstanceUID, ExplicitVRLittleEndian, receipt) + data)
            file.flush()
            spool.receive(part, file.fileno(), instance)
        if number % 100 == 0:
            print(f"\rfilling the spool: {number} of {studies}", end="", file=sys.stderr)
    print(file=sys.stderr)


def tags(service: Service, spool: Spool, studies: int) -> float:
    """Return the seconds from now until every study is tagged and the inbox is empty."""
    began, deadline = time.perf_counter(), time.monotonic() + _TIMEOUT_S
    while next(iter(spool.waiting()), None) is not None:
        assert service.process is not None
        if service.process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"not all studies were tagged; the log is in {service.folder}/log")
        time.sleep(0.05)
    took = time.perf_counter() - began
    decided = [decision["tag"] for decision in spool.decisions()]
    if len(decided) != studies:
        raise SystemExit(f"{len(decided)} studies have a decision, not {studies}")
    print("tags:", {tag: decided.count(tag) for tag in sorted(set(decided))})
    return took


def bare_session(folder: Path, model_input: FloatImage, studies: int) -> float:
    """Return the seconds of ONNX Runtime alone on as many inputs."""
    some = min(studies, 256)
    took, _ = bare_loop(folder, np.repeat(model_input[np.newaxis], some, axis=0))
    return took * studies / some


def bare_decoding(data: bytes, cards: dict[str, ModelCard], studies: int) -> float:
    """Return the seconds of decoding and preprocessing alone on every core."""
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores) as pool:
        list(pool.map(_decode, [(data, cards, 1)] * cores))
        began = time.perf_counter()
        list(pool.map(_decode, [(data, cards, studies // cores)] * cores))
        return time.perf_counter() - began


def _decode(work: tuple[bytes, dict[str, ModelCard], int]) -> None:
    data, cards, times = work
    for _ in range(times):
        prepare(data, cards, AssessmentPolicy(registry=RegistryPolicy(allow_demo=True)))


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
    with service:
        already = studies - sum(1 for _ in spool.waiting())
        took = tags(service, spool, studies)
    cards = load_cards(arguments.models, ())
    policy = RegistryPolicy(allow_demo=True)
    chosen = choose(cards, _AGE, policy)
    assert isinstance(chosen, ChosenModels)
    (card,) = chosen.cards
    prepared = prepare(BytesIO(one).getvalue(), cards, AssessmentPolicy(registry=policy))
    assert prepared.model_input is not None
    alone = bare_session(arguments.models / card.name, prepared.model_input, studies)
    decoding = bare_decoding(one, cards, studies)
    whole = took * studies / max(studies - already, 1)
    rows = [
        ("the service, to tags", f"{whole:.1f} s", f"{studies / whole:.0f}", "1.00"),
        ("bare session, one process", f"{alone:.1f} s", f"{studies / alone:.0f}", f"{whole / alone:.2f}"),
        ("bare decoding, every core", f"{decoding:.1f} s", f"{studies / decoding:.0f}", f"{whole / decoding:.2f}"),
        ("both after each other", f"{alone + decoding:.1f} s", "", f"{whole / (alone + decoding):.2f}"),
    ]
    print(f"{studies} DX studies of {SIDE}x{SIDE}, model {card.model_id}{load()}")
    print(f"({already} were tagged before every process was ready; the time is scaled to all)")
    print(table(("part", "seconds", "images/s", "service / this"), rows))
    verdict = "met" if whole < BAR_S else "MISSED"
    print(f"bar {BAR_S:.0f} s: {verdict}, {whole / BAR_S:.2f} of it; aim {AIM_S:.0f} s: {whole / AIM_S:.2f} of it")


if __name__ == "__main__":
    main()
