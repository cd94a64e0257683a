"""Each destination, reached as the service reaches it. Nothing is posted; a PACS gets a C-ECHO."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from triage.channels.kind import Surroundings
from triage.channels.registry import channel_of
from triage.channels.settings import Destination
from triage.errors import UnreachableError
from triage.service.check.finding import CheckResult, failed, ok, warning
from triage.settings.destinations import ChannelsSettings


def check_destinations(channels: ChannelsSettings) -> Iterator[CheckResult]:
    """All of them, in turn: one that hangs takes its time-out."""
    if not channels.all():
        yield ok("destinations", "none is configured: results are on the page alone")
    for each in channels.all():
        what = f"destination {each.name}"
        yield (
            _tried(what, each) if each.enabled else ok(what, "not enabled in the settings: nothing is delivered there")
        )


def _tried(what: str, destination: Destination) -> CheckResult:
    with ExitStack() as closing:
        channel = channel_of(destination, Surroundings(at_end=closing.callback))
        try:
            wrong = channel.reach()
        except UnreachableError as error:
            return failed(what, f"{error}. Check address, port and firewall, and that the other side runs and knows us")
    if wrong:
        return warning(what, f"{'; '.join(wrong)}. More: triage test-destination {destination.name}")
    return ok(what, "reached; triage test-destination sends it a test message")
