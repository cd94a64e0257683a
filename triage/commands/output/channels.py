"""Output of the commands about destinations."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from triage.channels.kind import ChannelKind, Surroundings
from triage.channels.registry import channel_of
from triage.commands.output.console import console_for_people
from triage.delivery.outbox import Outbox
from triage.errors import StartError, UnreachableError
from triage.operations.visible import visible
from triage.settings.sections.channels import ChannelsSettings


def show_channels(channels: ChannelsSettings, outbox: Outbox, now: float) -> None:
    """Print every destination of the settings, and those that are gone and still have something."""
    table = Table(box=None, pad_edge=False)
    for heading in ("destination", "kind", "state", "to build", "waiting", "dead", "oldest"):
        table.add_column(heading, overflow="fold")
    kinds = {each.name: kind for kind in ChannelsSettings.model_fields for each in getattr(channels, kind)}
    enabled = {each.name for each in channels.enabled()}
    left = {name for name in outbox.known() - set(kinds) if _counts(outbox, name) != (0, 0, 0)}
    for name in (*kinds, *sorted(left)):
        oldest = outbox.oldest(name)
        table.add_row(
            name,
            kinds.get(name, "not in the settings"),
            _state(outbox, name, name in enabled, now),
            *map(str, _counts(outbox, name)),
            f"{(now - oldest) / 60:.0f} min" if oldest else "",
        )
    console_for_people().print(table if kinds or left else "no destination is configured (docs/reference/channels.md)")


def test_destination(channels: ChannelsSettings, name: str, plugins: Mapping[str, ChannelKind[Any]]) -> bool:
    """Try a destination and say in words what was found; whether it can be reached. Raises StartError for no name."""
    destination = next((each for each in channels.all() if each.name == name), None)
    if destination is None:
        names = ", ".join(each.name for each in channels.all()) or "none"
        raise StartError(f"no destination is called {name!r}; there are: {names}")
    if not destination.enabled:
        sys.stdout.write(f"{name} is not enabled in the settings: nothing is delivered there.\n")
    try:
        lines = channel_of(destination, Surroundings(plugins=plugins)).check()
    except UnreachableError as error:
        sys.stdout.write(f"{error}.\nCheck address, port and firewall, and that the other side runs and knows us.\n")
        return False
    sys.stdout.write("\n".join(map(visible, lines)) + "\n")  # the peer's own words are among them
    return True


def _counts(outbox: Outbox, name: str) -> tuple[int, int, int]:
    return len(outbox.marked(name)), len(outbox.waiting(name)), outbox.dead.count(name)


def _state(outbox: Outbox, name: str, enabled: bool, now: float) -> str:
    if not enabled:
        return "off in the settings"
    if outbox.disabled(name):
        return "switched off"
    _, next_try, why = outbox.pause(name)
    return f"{why}; tried again in {max(next_try - now, 0):.0f} s" if why else "on"
