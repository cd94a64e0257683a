"""What the commands about destinations print and do."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from rich.table import Table

from triage.channels.base import UnreachableError
from triage.channels.factory import channel_of
from triage.commands.output.console import console_for_people
from triage.delivery.outbox import Outbox
from triage.delivery.record import State
from triage.errors import StartError
from triage.settings.destinations import ChannelsSettings


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
    console_for_people().print(table if kinds or left else "no destination is configured: see docs/channels.md")


def drop(outbox: Outbox, name: str, now: float) -> int:
    """Forget everything that waits or is dead for a destination. Returns how much that was."""
    items = outbox.waiting(name)
    for item in items:
        outbox.remove(item, State.DROPPED, "dropped by hand", now)
    keys = [key for key, *_ in outbox.dead_letters(name)]
    for key in keys:
        outbox.drop(key, now)
    marked = [uid for _, uid in outbox.marked(name)]
    for uid in marked:
        outbox.unmark(uid, name)
    return len(items) + len(keys) + len(marked)


def dead_letter_rows(outbox: Outbox) -> list[tuple[str, int, str, str]]:
    """When, tries, why and key of everything that no destination took."""
    return [
        (time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at)), tries, why, key)
        for name in sorted(outbox.known())
        for key, at, tries, why in outbox.dead_letters(name)
    ]


def requeue_deliveries(outbox: Outbox, keys: Sequence[str] | None, now: float) -> int:
    """Try dead letters (all for None) again, those of which a newer result was delivered left out.

    Raises FileNotFoundError for a key of none, and ValueError for one that a newer result took the place of.
    """
    if keys is not None:
        for key in keys:
            outbox.requeue(key, now)
        return len(keys)
    count = 0
    for *_, key in dead_letter_rows(outbox):
        try:
            outbox.requeue(key, now)
        except ValueError as error:
            sys.stdout.write(f"{error}\n")
        else:
            count += 1
    return count


def test_destination(channels: ChannelsSettings, name: str) -> bool:
    """Try a destination and say in words what was found; whether it can be reached. Raises StartError for no name."""
    destination = next((each for each in channels.all() if each.name == name), None)
    if destination is None:
        names = ", ".join(each.name for each in channels.all()) or "none"
        raise StartError(f"no destination is called {name!r}; there are: {names}")
    if not destination.enabled:
        sys.stdout.write(f"{name} is not enabled in the settings: nothing is delivered there.\n")
    try:
        lines = channel_of(destination).check()
    except UnreachableError as error:
        sys.stdout.write(f"{error}.\nCheck address, port and firewall, and that the other side runs and knows us.\n")
        return False
    sys.stdout.write("\n".join(lines) + "\n")
    return True


def _counts(outbox: Outbox, name: str) -> tuple[int, int, int]:
    return len(outbox.marked(name)), len(outbox.waiting(name)), outbox.dead_count(name)


def _state(outbox: Outbox, name: str, enabled: bool, now: float) -> str:
    if not enabled:
        return "off in the settings"
    if outbox.disabled(name):
        return "switched off"
    _, next_try, why = outbox.pause(name)
    return f"{why}; tried again in {max(next_try - now, 0):.0f} s" if why else "on"
