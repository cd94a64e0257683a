"""Importing an enabled plug-in: from the files that its digest covers, in bounded time."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from triage.plugins.bounded_call import BoundedCalls
from triage.plugins.errors import PluginError, PluginNotEndedError
from triage.plugins.installed import InstalledPlugin

IMPORT_LIMIT_S = 30.0


@dataclass(frozen=True)
class LoadedPlugin:
    """An imported plug-in; ``target`` is the object of its entry point, of a type that the kind of plug-in checks."""

    plugin: InstalledPlugin
    target: Any

    @property
    def key(self) -> str:
        """``DIST:NAME``."""
        return self.plugin.key


def load_plugin(plugin: InstalledPlugin, seconds: float = IMPORT_LIMIT_S) -> LoadedPlugin:
    """Import a plug-in.

    Raises PluginError if its module is not among the distribution's own files, raises, does not end in ``seconds``, or
    lacks the object that the entry point names.
    """
    _check_origin(plugin)
    try:
        target = BoundedCalls(f"the import of {plugin.module}", seconds).run(lambda: _imported(plugin))
    except PluginNotEndedError as error:
        raise PluginError(f"the plug-in {plugin.key} cannot be used: {error}") from error
    except Exception as error:  # the edge: foreign code
        raise PluginError(
            f"the plug-in {plugin.key} cannot be used: {plugin.module}:{plugin.attribute} raises "
            f"{type(error).__name__} when it is imported: {error}"
        ) from error
    _check_modules(plugin)
    return LoadedPlugin(plugin, target)


def _imported(plugin: InstalledPlugin) -> Any:
    module = import_module(plugin.module)
    return reduce(getattr, filter(None, plugin.attribute.split(".")), module)


def _check_origin(plugin: InstalledPlugin) -> None:
    """Check before anything is imported that the top package is the distribution's, and no other of its name."""
    top = plugin.module.partition(".")[0]
    try:
        spec = find_spec(top)
    except (ImportError, ValueError) as error:
        raise PluginError(f"the plug-in {plugin.key}: {top} cannot be found: {error}") from error
    if spec is None:
        raise PluginError(
            f"the plug-in {plugin.key}: there is no module {top}; a distribution that is installed as editable is not "
            "taken: install it as a wheel"
        )
    if spec.has_location and spec.origin is not None:
        _check_file(plugin, top, Path(spec.origin))


def _check_modules(plugin: InstalledPlugin) -> None:
    """Check that what was imported is of the files that the digest covers: the module, its parents and its package."""
    top = plugin.module.partition(".")[0]
    own = getattr(sys.modules.get(top), "__file__", None) is not None  # else a namespace that several share
    for name, module in list(sys.modules.items()):
        ours = name == top or name.startswith(f"{top}.") if own else f"{plugin.module}.".startswith(f"{name}.")
        if ours and (file := getattr(module, "__file__", None)):
            _check_file(plugin, name, Path(file))


def _check_file(plugin: InstalledPlugin, module: str, file: Path) -> None:
    if file.resolve() not in plugin.files:
        raise PluginError(
            f"the plug-in {plugin.key}: the module {module} is {file}, which is no file of its distribution: the "
            "digest says nothing about it. Install it as a wheel (not as editable), under a name of its own"
        )
