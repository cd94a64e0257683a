"""The commands: ``triage NAME`` is in ``NAME.py``, with its options, and is found there by ``triage.cli``.

A command imports what it needs when it runs: `triage worklist` does not wait for ONNX Runtime.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from importlib import import_module

import click


class CommandSection(Enum):
    """The heading of a command in ``triage --help`` and in the reference; ``SECTION`` in the command's file."""

    PEOPLE = "For administrators and readers"
    RESEARCH = "For physicists and researchers"
    PROCESSES = "Processes"


@dataclass(frozen=True)
class RegisteredCommand:
    """One command and its heading."""

    command: click.Command
    section: CommandSection


def registered_commands() -> Iterator[RegisteredCommand]:
    """Yield the command of every file here that has one, in the order of their names."""
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda each: each.name):
        found = import_module(f"{__name__}.{module.name}")
        command = getattr(found, module.name, None)
        if isinstance(command, click.Command):
            yield RegisteredCommand(command, getattr(found, "SECTION", CommandSection.PEOPLE))
