"""The cost of a second finding, and of a second model, of an image: the way from model inputs to conclusions.

Each round runs all three, one after the other, so that a busy machine slows them alike: the model with its first
finding alone (the graph cut to that output), the model as it ships, and the model next to a copy of itself that has
findings of other names. The median of the ratios within a round is printed. Usage: findings.py [--help]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from service import table

from triage.model.card import CARD, WEIGHTS, ModelCard, load_card
from triage.model.session import ModelSession
from triage.radiograph.types import Attributes, Part, View
from triage.scoring.assess import AssessmentPolicy, PreparedImage
from triage.scoring.inference import BatchInference

COUNT = 16


def variant(folder: Path, made: Path, name: str, change: Callable[[dict[str, object]], None], *, first: bool) -> Path:
    """Write a model folder like ``folder`` with a changed card; ``first``: its graph has its first output alone."""
    target = made / name
    target.mkdir()
    model = onnx.load(folder / WEIGHTS)
    if first:
        _keep_first(model)
    onnx.save_model(model, str(target / WEIGHTS))
    record = json.loads((folder / CARD).read_text())
    change(record)
    lists = dict.fromkeys(("patients_file", "patients_sha256", "images_file", "images_sha256"))
    record["training"].update(lists)
    record |= {"name": name, "model_sha256": sha256((target / WEIGHTS).read_bytes()).hexdigest()}
    (target / CARD).write_text(json.dumps(record))
    return target


def _keep_first(model: onnx.ModelProto) -> None:
    """Let ``probability`` be the first column of what it was."""
    graph = model.graph
    for node in graph.node:
        node.output[:] = ["all_probabilities" if each == "probability" else each for each in node.output]
    graph.initializer.append(numpy_helper.from_array(np.array([0]), "first_column"))
    graph.node.append(helper.make_node("Gather", ["all_probabilities", "first_column"], ["probability"], axis=1))
    for output in graph.output:
        if output.name == "probability":
            output.type.tensor_type.shape.dim[1].dim_value = 1


def inference(folders: list[Path]) -> tuple[BatchInference, list[PreparedImage]]:
    """Return the sessions of some models, and prepared images with an input for each."""
    cards: dict[str, ModelCard] = {folder.name: load_card(folder) for folder in folders}
    sessions = {folder.name: ModelSession(folder, cards[folder.name], threads=1) for folder in folders}
    size = next(iter(cards.values())).preprocessing.size
    inputs = np.random.default_rng(0).normal(size=(COUNT, 1, size, size)).astype(np.float32)
    known = PreparedImage(Attributes(), View.PA, Part.CHEST)
    images = [replace(known, model_inputs=dict.fromkeys(cards, each)) for each in inputs]
    return BatchInference(sessions, AssessmentPolicy()), images


def seconds(run: tuple[BatchInference, list[PreparedImage]]) -> float:
    """Return the processor time of one batch, in seconds an image."""
    began = time.process_time()
    run[0].run(run[1])
    return (time.process_time() - began) / COUNT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/rsna-adult"))
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    folder = arguments.model.resolve()
    with tempfile.TemporaryDirectory() as place:
        made = Path(place)
        one = variant(folder, made, "one", lambda record: record.update(findings=record["findings"][:1]), first=True)

        def rename(record: dict[str, object]) -> None:
            for each in record["findings"]:  # type: ignore[attr-defined]
                each["name"] = f"second_{each['name']}"

        second = variant(folder, made, "second", rename, first=False)
        runs = [inference([one]), inference([folder]), inference([folder, second])]
        for each in runs:
            seconds(each)
        rounds = [[seconds(each) for each in runs] for _ in range(arguments.rounds)]
    findings = [two / first for first, two, _ in rounds]
    models = [both / two for _, two, both in rounds]
    rows = [
        ("a second finding", f"{statistics.median(findings):.3f}", f"{min(findings):.3f} to {max(findings):.3f}"),
        ("a second model", f"{statistics.median(models):.3f}", f"{min(models):.3f} to {max(models):.3f}"),
    ]
    print(table(("what is added", "times the processor time of an image", "range over rounds"), rows))
    alone = statistics.median(first for first, _, _ in rounds) * 1000
    print(f"one finding: {alone:.1f} ms an image; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
