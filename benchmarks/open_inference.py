"""A model at a server of the Open Inference Protocol on loopback, compared with its session in the process.

The server is a process of its own that runs the same graph on one thread, so that the difference is the protocol's:
JSON, a connection, and the known image that each request carries. Usage: open_inference.py [--help]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from service import table

from tests.support.inference_server import inference_server
from triage.model.card import load_card
from triage.model.remote_folder import RemoteAccess, open_remote
from triage.model.session import FloatArray, ModelSession
from triage.service.known_answers import copy_for_server


def serve(folder: Path, address: Connection) -> None:
    """Serve the model in ``folder`` until the parent hangs up."""
    session = ModelSession(folder, load_card(folder), threads=1)
    with inference_server(model=lambda images: session.score(images).probability) as server:
        address.send(server.address)
        try:
            address.recv()
        except EOFError:
            return


def milliseconds(call: Callable[[FloatArray], object], inputs: FloatArray, rounds: int) -> float:
    """Return the median of the milliseconds of an image."""
    took = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        call(inputs)
        took.append((time.perf_counter() - began) * 1000 / len(inputs))
    return statistics.median(took[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/rsna-adult"))
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    folder = arguments.model.resolve()
    session = ModelSession(folder, load_card(folder), threads=1)
    size = session.card.preprocessing.size
    inputs = np.random.default_rng(0).normal(size=(15, 1, size, size)).astype(np.float32)
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    child = multiprocessing.get_context("spawn").Process(target=serve, args=(folder, theirs))
    child.start()
    theirs.close()
    address = ours.recv()
    rows = []
    with tempfile.TemporaryDirectory() as made:
        for batch in (1, 2, 8, 16):
            card = copy_for_server(folder, Path(made) / f"far-{batch}", batch)
            far = open_remote(Path(made) / card.name, card, RemoteAccess(address, 60.0))
            far.check()
            for count in (1, 15):
                near_ms = milliseconds(session.score, inputs[:count], arguments.rounds)
                far_ms = milliseconds(far.score, inputs[:count], arguments.rounds)
                rows.append((f"{batch}", f"{count}", f"{near_ms:.1f}", f"{far_ms:.1f}", f"{far_ms / near_ms:.1f}"))
    ours.close()
    child.join()
    print(table(("batch", "images at once", "in the process, ms an image", "at the server", "times"), rows))
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
