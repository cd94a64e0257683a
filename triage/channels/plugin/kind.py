"""Registers the channels of plug-ins as a kind of channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from triage.channels.kind import ChannelKind, Surroundings
from triage.channels.plugin.settings import PluginDestination
from triage.channels.settings import Destination
from triage.errors import StartError
from triage.plugins.statement import key_of

if TYPE_CHECKING:
    from triage.channels.base import Channel

_OURS = ("plugin", "options", "secret")


def _make(destination: PluginDestination, surroundings: Surroundings) -> Channel:
    """Make the plug-in's channel. Raises StartError if it is not enabled, or settings or channel do not hold."""
    from triage.channels.plugin.channel import guarded

    kind = surroundings.plugins.get(key_of(destination.plugin))
    if kind is None:
        raise StartError(
            f"destination {destination.name}: no channel {destination.plugin} is enabled: put it into plugins.enabled, "
            "as DIST==VERSION:NAME"
        )
    settings = _settings(destination, kind)
    try:
        channel = kind.make(settings, surroundings)
    except Exception as error:  # the edge: foreign code
        raise StartError(
            f"destination {destination.name}: {destination.plugin} makes no channel: {type(error).__name__}: {error}"
        ) from error
    return guarded(channel, destination)


def _settings(destination: PluginDestination, kind: ChannelKind[Destination]) -> Destination:
    """Return the plug-in's own settings. Raises StartError, with no value in its text."""
    common = {key: getattr(destination, key) for key in Destination.model_fields}
    secret = {} if destination.secret is None else {"secret": destination.secret}
    try:
        return kind.destination.model_validate({**common, **destination.values, **secret})
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise StartError(f"destination {destination.name} of {destination.plugin}: {faults}") from error


KIND = ChannelKind("plugin", "The message of a channel that a plug-in registers.", PluginDestination, _make)
