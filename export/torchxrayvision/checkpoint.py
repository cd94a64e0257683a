"""Loading of a checkpoint file of torchxrayvision's: tensors alone, no code of the file's is run.

A DenseNet is published as a pickled whole model, a ResNet as a dictionary of tensors. Both are read with PyTorch's
``weights_only``: a pickle may name the classes below and nothing else. Those of torchxrayvision become an empty module,
so that its package is not needed, and none of their methods is there to be called.

Files of PyTorch before 1.6 are no zip archives, and ``weights_only`` does not read whole models in them. An Unpickler
that knows the same names, and what tensors are made of, reads them.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import torch
from torch import nn

from training.errors import TrainingError
from training.networks.torchvision_ops import models
from triage.errors import cause

FIRST_FILTERS = 64
_LAYERS = (
    nn.Sequential,
    nn.Conv2d,
    nn.BatchNorm2d,
    nn.ReLU,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.Linear,
    nn.Dropout,
)
_PARTS = ("DenseNet", "_DenseBlock", "_DenseLayer", "_Transition")
_MODULES = ("torchxrayvision.models", "torchvision.models.densenet")
_PARTS_OF_TENSORS: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "__builtin__.set": set,
    "builtins.set": set,
    "torch._utils._rebuild_tensor_v2": torch._utils._rebuild_tensor_v2,
    "torch._utils._rebuild_parameter": torch._utils._rebuild_parameter,
    "torch.FloatStorage": torch.FloatStorage,
    "torch.LongStorage": torch.LongStorage,
}
_NOT_WEIGHTS = ("op_threshs",)
"""Buffers of the checkpoint that are no part of the network: the operating points are in weights.toml."""


class _Part(nn.Module):
    """Stands for a class of torchxrayvision's: its parameters and parts, and no method."""


def load_network(name: str, file: Path, outputs: int) -> nn.Module:
    """Return the network of the weights ``name``, (n, 1, s, s) to logits (n, outputs), in evaluation mode.

    Raises TrainingError for a file that is no such checkpoint.
    """
    network = _densenet121(outputs) if name.startswith("densenet121-") else _resnet50(outputs)
    weights = read_tensors(file)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise TrainingError(f"{file} holds other weights than {name}: {str(error).splitlines()[-1].strip()}") from error
    return network.eval()


def read_tensors(file: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint by name. Raises TrainingError, and runs nothing that the file names."""
    try:
        found = _loaded(file)
        tensors = found.state_dict() if isinstance(found, nn.Module) else found
    except OSError as error:
        raise TrainingError(f"{file} cannot be read: {cause(error)}") from error
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        why = f"it names {named[1]}" if named else str(error).strip().rpartition("\n")[2]
        raise TrainingError(
            f"{file} is not loaded: {why}, and a checkpoint may hold tensors and the layers of a DenseNet alone"
        ) from error
    except Exception as error:  # the edge: a damaged file raises whatever its bytes lead to
        raise TrainingError(f"{file} is no checkpoint of torchxrayvision's: {type(error).__name__}") from error
    return _checked(file, tensors)


def _loaded(file: Path) -> Any:
    if zipfile.is_zipfile(file):
        with torch.serialization.safe_globals([(each, name) for name, each in allowed().items()]):
            return torch.load(file, map_location="cpu", weights_only=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the source of the pickled classes is another now
        return torch.load(file, map_location="cpu", weights_only=False, pickle_module=_restricted())


def _restricted() -> Any:
    """Return what torch takes in the place of the module pickle."""
    return SimpleNamespace(Unpickler=_KnownNames, load=_KnownNames.load_from, __name__="pickle")


class _KnownNames(pickle.Unpickler):
    """Reads pickles that name classes of ``allowed`` and what tensors are made of, and no other."""

    def find_class(self, module: str, name: str) -> Any:
        """Return an allowed class. Raises UnpicklingError for every other name."""
        known = {**allowed(), **_PARTS_OF_TENSORS}
        if f"{module}.{name}" not in known:
            raise pickle.UnpicklingError(f"GLOBAL {module}.{name}")
        return known[f"{module}.{name}"]

    @classmethod
    def load_from(cls, file: IO[bytes], **options: Any) -> Any:
        """Return the next object of a file, as pickle.load."""
        return cls(file, **options).load()


def allowed() -> dict[str, Any]:
    """Return the classes that a pickle may name, ours for each, by their name in the file."""
    layers = {f"{layer.__module__}.{layer.__qualname__}": layer for layer in _LAYERS}
    return layers | {f"{module}.{part}": _Part for module in _MODULES for part in _PARTS}


def _checked(file: Path, tensors: object) -> dict[str, torch.Tensor]:
    if not isinstance(tensors, Mapping) or not all(isinstance(each, torch.Tensor) for each in tensors.values()):
        raise TrainingError(f"{file} is no checkpoint of torchxrayvision's: it holds no tensors by name")
    return {str(name): tensor for name, tensor in tensors.items() if name not in _NOT_WEIGHTS}


def _densenet121(outputs: int) -> nn.Module:
    network = models.densenet121(weights=None, num_classes=outputs)
    network.features.conv0 = nn.Conv2d(1, FIRST_FILTERS, kernel_size=7, stride=2, padding=3, bias=False)
    return network  # type: ignore[no-any-return]


def _resnet50(outputs: int) -> nn.Module:
    network = models.resnet50(weights=None, num_classes=outputs)
    network.conv1 = nn.Conv2d(1, FIRST_FILTERS, kernel_size=7, stride=2, padding=3, bias=False)
    return network  # type: ignore[no-any-return]
