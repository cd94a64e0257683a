"""Import of a foreign graph of 30 MB: seconds by step; and what its distance refuses, with and without features.

The first part needs no data. The second reads real radiographs below --data (NIH and WCMC pictures, other parts of the
body) and takes EfficientNet-Lite0 with ImageNet's weights (extra `imagenet`) for the network of a stranger.
Usage: foreign_models.py import | foreign_models.py distance --data FOLDER
"""

from __future__ import annotations

import argparse
import csv
import resource
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from service import table
from torch import nn

from training.networks.imagenet import packaged_state
from training.networks.torchvision_ops import models
from triage.model.card import load_card
from triage.model.feature_distribution import SiteImages, distances, fit, out_of_fold
from triage.model.session import ModelSession
from triage.model_import import candidate, importer
from triage.model_import.candidate import ImportRequest
from triage.model_import.site_images import files_below
from triage.phantom.chest import draw
from triage.radiograph.decode import decode_file
from triage.radiograph.preprocess import PreprocessSpec, normalise
from triage.radiograph.types import Radiograph

DESCRIPTION = """
name = "dense"
version = "1"
architecture = "DenseNet121, 18 outputs, random weights"
[input]
layout = "NCHW"
channels = 3
size = 224
fit = "centre_crop"
normalisation = "imagenet"
[intended_use]
modalities = ["DX"]
views = ["PA", "AP"]
age_from = 18
"""
FINDING = """
[[findings]]
name = "finding_{0}"
index = {0}
kind = "logit"
positive_class = "yes"
negative_class = "no"
threshold = 0.5
chosen = "never"
"""


def exported(network: nn.Module, path: Path, size: int) -> Path:
    """Write a network of three channels as ONNX."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(), (torch.zeros(2, 3, size, size),), str(path), input_names=["x"], output_names=["y"],
            dynamic_axes={"x": {0: "n"}, "y": {0: "n"}}, opset_version=18, dynamo=False,
        )  # fmt: skip
    return path


def measure_import(images: int) -> None:
    """Print seconds of each step of an import."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        graph = exported(models.densenet121(weights=None, num_classes=18), folder / "given.onnx", 224)
        described = folder / "given.toml"
        described.write_text(DESCRIPTION + "".join(FINDING.format(number) for number in range(18)))
        (folder / "images").mkdir()
        for seed in range(images):
            drawn = draw(seed, rows=512, columns=512)
            cv2.imwrite(str(folder / f"images/{seed}.png"), (drawn / drawn.max() * 255).astype(np.uint8))
        steps: dict[str, float] = {}
        timed(steps, "read and check the graph", candidate, "open_graph")
        timed(steps, "compare the wrapped graph with the given one", candidate, "agreed_wrapping")
        timed(steps, f"distance from {images} images", importer, "fit_distance")
        timed(steps, "load the result on trial", importer, "check_loads")
        started, used = time.perf_counter(), time.process_time()
        done = importer.import_model(
            ImportRequest(graph, described, files_below([folder / "images"])), folder / "models"
        )
        whole, used = time.perf_counter() - started, time.process_time() - used
        rows = [(step, f"{seconds:.1f} s") for step, seconds in steps.items()]
        rows.append(("all", f"{whole:.1f} s, {used:.1f} s of it CPU of this process"))
        sizes = [path.stat().st_size / 1e6 for path in (graph, done.folder / "model.onnx")]
        rows.append(("given and written", f"{sizes[0]:.1f} and {sizes[1]:.1f} MB"))
        rows.append(("peak memory", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB"))
        session = ModelSession(done.folder, load_card(done.folder))
        shot = np.zeros((1, 1, 224, 224), dtype=np.float32)
        session.score(shot)
        started = time.process_time()
        for _ in range(10):
            session.score(shot)
        rows.append(("one image in the service", f"{100 * (time.process_time() - started):.0f} ms of CPU"))
        print(table(("step", "time"), rows))


def timed(steps: dict[str, float], name: str, module: Any, function: str) -> None:
    """Note the seconds of a function of a module under ``name``."""
    original: Callable[..., Any] = getattr(module, function)

    def measured(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return original(*arguments, **named)
        finally:
            steps[name] = steps.get(name, 0.0) + time.perf_counter() - started

    setattr(module, function, measured)


SPEC = PreprocessSpec(size=224, fit="stretch", levels="full", mean=0.0, deviation=1.0)


def read(paths: list[Path], inverted: bool = False) -> np.ndarray[Any, Any]:
    """Return levels (n, s, s) of images."""
    found = []
    for path in paths:
        radiograph = decode_file(path.read_bytes())
        if isinstance(radiograph, Radiograph):
            pixels = 1 - radiograph.pixels if inverted else radiograph.pixels
            found.append(normalise(pixels.astype(np.float32), radiograph.valid, SPEC))
    return np.stack(found)


def measure_distance(data: Path) -> None:
    """Print the share of images beyond the limit, by kind of image and number of images that it was fitted to."""
    import timm

    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    network.load_state_dict(packaged_state("tf_efficientnet_lite0", network.state_dict()))
    network.eval().reset_classifier(0)

    def features(levels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        with torch.inference_mode():
            parts = [
                torch.from_numpy(part)[:, None].repeat(1, 3, 1, 1) * 2 - 1
                for part in np.array_split(levels, max(len(levels) // 16, 1))
            ]
            return torch.cat([network(part) for part in parts]).double().numpy()

    with (data / "nih-chestxray14/manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if float(row["age"]) >= 18 and row["view"] in ("PA", "AP")]
    text, expert = ([row for row in rows if row["split"] == split] for split in ("text", "expert"))
    paths = {row["image"]: data / "nih-chestxray14" / row["image"] for row in rows}
    others = sorted((data / "dicom/xray-other").glob("*.dcm")) + sorted((data / "dicom/cr-dx-other").glob("*.dcm"))
    children = sorted((data / "wcmc-pediatric/images/test").rglob("*.jpeg"))[::12]
    held_out = [paths[row["image"]] for row in expert]
    groups = {
        "other adults": read(held_out),
        "the same inverted": read(held_out[::4], inverted=True),
        "children": read(children),
        "other parts of the body": read(others),
    }
    groups["noise"] = np.random.default_rng(0).random((20, 224, 224), dtype=np.float32)
    seen = {name: (np.rint(levels * 255).astype(np.uint8), features(levels)) for name, levels in groups.items()}
    headings = ("fitted to", "distance", "limit", *(f"{name} ({len(levels)})" for name, levels in groups.items()))
    lines: list[tuple[str, ...]] = []
    levels = read([paths[row["image"]] for row in text])
    everything = SiteImages(np.rint(levels * 255).astype(np.uint8), features(levels), [row["patient"] for row in text])
    for count in (100, 200, 400, len(text)):
        keep = np.zeros(len(text), dtype=bool)
        keep[np.linspace(0, len(text) - 1, count).astype(int)] = True
        for name, with_features in (("thumbnail", False), ("thumbnail and features", True)):
            site = everything.of(keep)
            site = site if with_features else SiteImages(site.levels, None, site.patients)
            limit, fitted = float(np.percentile(out_of_fold(site), 99)), fit(site)
            shares = []
            for own, vectors in seen.values():
                one = SiteImages(own, vectors if with_features else None, [""] * len(own))
                shares.append(f"{100 * (distances(fitted, one) > limit).mean():.0f} %")
            lines.append((str(count), name, f"{limit:.1f}", *shares))
    print(table(headings, lines))


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["import", "distance"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--images", type=int, default=200)
    arguments = parser.parse_args()
    if arguments.what == "import":
        measure_import(arguments.images)
    else:
        measure_distance(arguments.data)


if __name__ == "__main__":
    main()
