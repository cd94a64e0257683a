"""Installed plug-ins: the entry points of distributions, found by their metadata. No code of them runs here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path

from triage.plugins.digest import installed_files
from triage.plugins.errors import PluginError
from triage.plugins.statement import PluginStatement, normalised


class PluginGroup(StrEnum):
    """Groups of entry points, by what a plug-in registers."""

    MODEL_LOADER = "cxr_triage.model_loaders"
    CHANNEL = "cxr_triage.channels"
    RULE = "cxr_triage.rules"


KIND_IN_WORDS = {
    PluginGroup.MODEL_LOADER: "model loader",
    PluginGroup.CHANNEL: "channel",
    PluginGroup.RULE: "combination rule",
}


@dataclass(frozen=True)
class InstalledPlugin:
    """One entry point of an installed distribution.

    Attributes:
        key: ``DIST:NAME``.
        group: what it registers.
        version: version of the distribution.
        digest: SHA-256 of the distribution's files.
        folder: where they lie.
        files: those files.
        module: the module that is imported.
        attribute: the object in it, with dots.
    """

    key: str
    group: PluginGroup
    version: str
    digest: str
    folder: Path
    files: frozenset[Path]
    module: str
    attribute: str

    @property
    def name(self) -> str:
        """Name of the entry point."""
        return self.key.rpartition(":")[2]

    @property
    def statement(self) -> str:
        """Text that names exactly these files in plugins.enabled."""
        distribution, _, name = self.key.rpartition(":")
        return f"{distribution}=={self.version}:{name}#sha256={self.digest}"

    def __str__(self) -> str:
        return (
            f"{KIND_IN_WORDS[self.group]} {self.key}, version {self.version}, sha256 {self.digest}, from {self.folder}"
        )


def find_enabled(statements: Iterable[PluginStatement]) -> tuple[InstalledPlugin, ...]:
    """Return the plug-ins that the settings name, in their order.

    Raises PluginError for one that is not installed, that is there twice, whose version or digest is not the stated
    one, and for two of one name.
    """
    found = tuple(_find(each) for each in statements)
    by_name: dict[str, InstalledPlugin] = {}
    for each in found:
        if (other := by_name.setdefault(each.name, each)) is not each:
            raise PluginError(
                f"plugins.enabled: {other.key} and {each.key} are of one name: enable one of them"
                if other.key != each.key
                else f"plugins.enabled names {each.key} twice"
            )
    return found


def installed_plugins() -> Iterator[InstalledPlugin]:
    """Yield every plug-in that is installed, enabled or not; those whose files are not whole are left out."""
    for found in distributions():
        entries = _entries(found)
        try:
            for entry in entries:
                yield _plugin(found, entry)
        except PluginError:
            continue


def _find(statement: PluginStatement) -> InstalledPlugin:
    found = _distribution(statement)
    if found.version != statement.version:
        raise PluginError(
            f"plugins.enabled states {statement.distribution} {statement.version}, and {found.version} is installed in "
            f"{found.locate_file('')}: install the stated one, or state the other when it is accepted"
        )
    plugin = _plugin(found, _entry(found, statement))
    if statement.digest not in ("", plugin.digest):
        raise PluginError(
            f"plugins.enabled: the files of {statement.distribution} {found.version} are not those that were accepted: "
            f"sha256 {plugin.digest}, stated {statement.digest}"
        )
    return plugin


def _distribution(statement: PluginStatement) -> Distribution:
    places = {
        str(each.locate_file("")): each
        for each in distributions(name=statement.distribution)
        if normalised(each.name or "") == statement.distribution
    }
    if not places:
        raise PluginError(
            f"plugins.enabled names {statement.key}, and no distribution {statement.distribution} is installed where "
            "this program looks for packages"
        )
    if len(places) > 1:
        raise PluginError(
            f"{statement.distribution} is installed twice, in {' and in '.join(sorted(places))}: remove one"
        )
    return next(iter(places.values()))


def _entries(found: Distribution) -> list[EntryPoint]:
    groups = set(PluginGroup)
    return [entry for entry in found.entry_points if entry.group in groups]


def _entry(found: Distribution, statement: PluginStatement) -> EntryPoint:
    entries = [entry for entry in _entries(found) if entry.name == statement.name]
    if len(entries) == 1:
        return entries[0]
    if entries:
        kinds = ", ".join(sorted(f"{entry.group} ({entry.value})" for entry in entries))
        raise PluginError(f"{statement.key} is the name of {len(entries)} entry points: {kinds}; each needs its own")
    names = ", ".join(sorted(entry.name for entry in _entries(found))) or "none"
    raise PluginError(f"{statement.distribution} {found.version} has no plug-in {statement.name}; it has: {names}")


def _plugin(found: Distribution, entry: EntryPoint) -> InstalledPlugin:
    files = installed_files(found)
    if entry.pattern.match(entry.value) is None:
        raise PluginError(f"{found.name}: the entry point {entry.name} is {entry.value!r}, which is no MODULE:OBJECT")
    return InstalledPlugin(
        key=f"{normalised(found.name)}:{entry.name}",
        group=PluginGroup(entry.group),
        version=found.version,
        digest=files.digest,
        folder=Path(str(found.locate_file(""))),
        files=files.paths,
        module=entry.module,
        attribute=entry.attr,
    )
