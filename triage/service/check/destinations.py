"""Check each destination by connecting to it. Nothing is delivered; a PACS gets a C-ECHO."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from triage.channels.kind import Surroundings
from triage.channels.registry import channel_of
from triage.channels.settings import Destination
from triage.errors import UnreachableError
from triage.service.check.finding import CheckResult, failed, ok, warning
from triage.settings.sections.channels import ChannelsSettings


def check_destinations(channels: ChannelsSettings) -> Iterator[CheckResult]:
    """Check the destinations in turn; one that hangs takes its time-out."""
    if not channels.all():
        yield ok("destinations", "none is configured: results are on the page alone")
    for each in channels.all():
        subject = f"destination {each.name}"
        yield (
            _reach(subject, each)
            if each.enabled
            else ok(subject, "not enabled in the settings: nothing is delivered there")
        )


def _reach(subject: str, destination: Destination) -> CheckResult:
    with ExitStack() as closing:
        channel = channel_of(destination, Surroundings(at_end=closing.callback))
        try:
            problems = channel.reach()
        except UnreachableError as error:
            return failed(
                subject, f"{error}. Check address, port and firewall, and that the other side runs and knows us"
            )
    if problems:
        return warning(subject, f"{'; '.join(problems)}. More: triage test-destination {destination.name}")
    return ok(subject, "reached; triage test-destination sends it a test message")
