"""A cohort of small drawn images that a narrow network learns in seconds: positives have a bright patch."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zlib import crc32

import cv2
import numpy as np

from triage.validation.cohort.manifest import Row, write_manifest

SIZE = 48

TINY: dict[str, Any] = {
    "model": {"architecture": "resnet18-w4"},
    "input": {"resize": 40, "size": 32},
    "data": {"carve": 4, "folds": 3},
    "optimizer": {"name": "adamw", "learning_rate": 0.004},
    "schedule": {"epochs": 3, "batch_size": 8, "averaging": 0.9, "shape": "cosine", "warmup": 0.1},
    "augmentation": {"mirror": True, "shift": 0.02, "noise": 0.02, "erase": 0.2},
    "runtime": {"checkpoint_steps": 1, "seed": 3},
}
"""A configuration whose epochs take a second."""


def draw(seed: int, *, positive: bool, bright: bool = False) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """uint8 (SIZE, SIZE): a gradient with noise; ``positive`` adds a patch, ``bright`` is another exposure."""
    rng = np.random.default_rng(seed)
    rows = np.linspace(60, 140, SIZE)[:, None] * np.ones((1, SIZE))
    columns = 12 * np.sin(np.linspace(0, rng.uniform(5, 7), SIZE))[None]
    image = rows + columns + rng.normal(0, 4, (SIZE, SIZE)) + (20 if bright else 0)
    if positive:
        top, left = rng.integers(10, 28, 2)
        image[top : top + 12, left : left + 12] += 70
    return np.asarray(np.clip(image, 0, 255), dtype=np.uint8)


def write_cohort(folder: Path, images: int = 48, *, name: str = "cohort", split: str = "train", **changes: Any) -> Path:
    """A manifest with ``images`` PNG files, two of each patient, half of them positive; its path."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(images):
        label = number // 2 % 2
        path = folder / "images" / f"{name}-{number}.png"
        seed = number if name == "cohort" else crc32(name.encode()) + number  # two cohorts share no image
        cv2.imwrite(str(path), draw(seed, positive=bool(label)))
        view = "PA" if number % 3 else "AP"
        columns = {"findings": "Mass|Nodule" if label else "No Finding", "other_label": str(number % 2)}
        row = {"image": path, "label": label, "patient": f"{name}:{number // 2}", "split": split, "view": view}
        row |= {"age": 20.0 + number % 60, "sex": "M" if number % 2 else "F", "source": name, "columns": columns}
        rows.append(Row(**{**row, **changes}))
    manifest = folder / f"{name}.csv"
    write_manifest(manifest, rows)
    return manifest
