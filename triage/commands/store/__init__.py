"""``triage store``: the store as a whole. Each file here has one of its commands, as ``command``."""

from __future__ import annotations

import pkgutil
from importlib import import_module

import click


@click.group()
def store() -> None:
    """Move what the service keeps into another store, and compare a bucket with its database."""


for each in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
    store.add_command(import_module(f"{__name__}.{each.name}").command)
