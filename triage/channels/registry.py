"""Every kind of channel: each folder of ``triage/channels`` that has a ``kind.py`` registers itself."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import triage.channels as channels
from triage.channels.kind import ChannelKind, Surroundings
from triage.channels.settings import Destination

if TYPE_CHECKING:
    from triage.channels.base import Channel


@cache
def channel_kinds() -> tuple[ChannelKind[Any], ...]:
    """Return the kinds in the order of their names.

    Raises:
        ValueError: a folder's kind has another name than the folder.
    """
    folders = sorted(each.name for each in pkgutil.iter_modules(channels.__path__) if each.ispkg)
    kinds = tuple(import_module(f"{channels.__name__}.{folder}.kind").KIND for folder in folders)
    if wrong := [folder for folder, kind in zip(folders, kinds, strict=True) if kind.name != folder]:
        raise ValueError(f"triage/channels/{wrong[0]}/kind.py registers a kind of another name")
    return kinds


def channel_of(destination: Destination, surroundings: Surroundings | None = None) -> Channel:
    """Return the channel of a destination.

    Raises:
        TypeError: no kind has settings of this type.
    """
    for kind in channel_kinds():
        if isinstance(destination, kind.destination):
            return kind.make(destination, surroundings or Surroundings())
    raise TypeError(f"no channel for {type(destination).__name__}")
