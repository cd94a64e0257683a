"""Registry of architectures: builders register themselves under their names; training/networks/build.py finds them.

To add an architecture, write a builder with this decorator in a module of ``training/networks/architecture``; nothing
else has to name it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

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
class Entry:
    """One registered builder: the name shown in messages, and the pattern of the names that it builds."""

    shown: str
    pattern: re.Pattern[str]
    builder: Builder


ENTRIES: list[Entry] = []
"""Every registered builder, in the order of registration."""


def architecture(*names: str) -> Callable[[Builder], Builder]:
    """Register the decorated builder under fixed names."""
    return _registering({name: re.escape(name) for name in names})


def architecture_family(shown: str, pattern: str) -> Callable[[Builder], Builder]:
    """Register the decorated builder for every name that matches ``pattern``, whose one group is the parameter."""
    return _registering({shown: pattern})


def _registering(patterns: Mapping[str, str]) -> Callable[[Builder], Builder]:
    def register(builder: Builder) -> Builder:
        ENTRIES.extend(Entry(shown, re.compile(pattern), builder) for shown, pattern in patterns.items())
        return builder

    return register
