"""``triage models``: what is done with model folders. Each file here has one of its commands, as ``command``."""

from __future__ import annotations

import pkgutil
from importlib import import_module

import click


@click.group()
def models() -> None:
    """Import, check and list models, and say which of them are in service."""


for each in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
    models.add_command(import_module(f"{__name__}.{each.name}").command)
