"""Check each destination by connecting to it. Nothing is delivered; a PACS gets a C-ECHO."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from triage.channels.kind import ChannelKind, Surroundings
from triage.channels.registry import channel_of
from triage.channels.settings import Destination
from triage.errors import StartError, UnreachableError
from triage.service.check.finding import CheckResult, failed, ok, warning
from triage.service.plugins import channel_plugins
from triage.settings.sections.channels import ChannelsSettings
from triage.settings.sections.plugins import PluginSettings

_NONE = PluginSettings()


def check_destinations(channels: ChannelsSettings, enabled: PluginSettings = _NONE) -> Iterator[CheckResult]:
    """Check the destinations in turn; one that hangs takes its time-out."""
    try:
        plugins = channel_plugins(enabled)
    except StartError:  # the check of plug-ins says it
        plugins = {}
    if not channels.all():
        yield ok("destinations", "none is configured: results are on the page alone")
    for each in channels.all():
        subject = f"destination {each.name}"
        yield (
            _reach(subject, each, plugins)
            if each.enabled
            else ok(subject, "not enabled in the settings: nothing is delivered there")
        )


def _reach(subject: str, destination: Destination, plugins: Mapping[str, ChannelKind[Any]]) -> CheckResult:
    with ExitStack() as closing:
        try:
            channel = channel_of(destination, Surroundings(at_end=closing.callback, plugins=plugins))
            problems = channel.reach()
        except StartError as error:
            return failed(subject, str(error))
        except UnreachableError as error:
            return failed(
                subject, f"{error}. Check address, port and firewall, and that the other side runs and knows us"
            )
    if problems:
        return warning(subject, f"{'; '.join(problems)}. More: triage test-destination {destination.name}")
    return ok(subject, "reached; triage test-destination sends it a test message")
