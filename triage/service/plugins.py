"""The plug-ins of the settings: loaded, checked, logged, and in the audit trail (docs/adr/0067)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from triage.errors import StartError
from triage.settings.schema import Settings
from triage.settings.sections.plugins import PluginSettings

if TYPE_CHECKING:
    from triage.channels.kind import ChannelKind
    from triage.plugins.installed import PluginGroup
    from triage.plugins.load import LoadedPlugin
    from triage.scoring.finding_scores import CombinationRule

logger = logging.getLogger(__name__)


def model_loaders(settings: PluginSettings) -> dict[str, LoadedPlugin]:
    """Return the enabled model loaders by DIST:NAME, imported. Raises PluginError."""
    from triage.plugins.installed import PluginGroup

    return _callable_ones(settings, PluginGroup.MODEL_LOADER)


def rules(settings: PluginSettings, on_stuck: Callable[[], object] = lambda: None) -> Mapping[str, CombinationRule]:
    """Return the enabled combination rules by DIST:NAME, imported and guarded. Raises PluginError.

    ``on_stuck`` is called if a call of a rule does not end, and may end the process.
    """
    from triage.plugins.installed import PluginGroup
    from triage.scoring.plugin_rules import GuardedRule

    found = _callable_ones(settings, PluginGroup.RULE)
    return {key: GuardedRule(each, settings.rule_timeout_s, on_stuck) for key, each in found.items()}


def channel_plugins(settings: PluginSettings) -> dict[str, ChannelKind[Any]]:
    """Return the enabled kinds of channels by DIST:NAME, imported. Raises PluginError."""
    from triage.channels.kind import ChannelKind
    from triage.channels.settings import Destination
    from triage.plugins.errors import PluginError
    from triage.plugins.installed import PluginGroup

    found = _loaded(settings, PluginGroup.CHANNEL)
    for key, each in found.items():
        kind = each.target
        if not isinstance(kind, ChannelKind):
            raise PluginError(f"the plug-in {key} registers a {type(kind).__name__} as a channel, and no ChannelKind")
        if not (isinstance(kind.destination, type) and issubclass(kind.destination, Destination)):
            raise PluginError(f"the plug-in {key}: the settings of its destinations are not derived from Destination")
    return {key: each.target for key, each in found.items()}


def announce_plugins(process: str, settings: Settings) -> None:
    """Log each enabled plug-in with version, digest and place, and write it to the audit trail where there is one.

    Raises StartError for a plug-in that must not be used, and where the trail cannot be written.
    """
    if not settings.plugins.enabled:
        return
    from triage.plugins.installed import find_enabled
    from triage.security.audit_trail import AuditError, note_configuration
    from triage.service.access import audit_sink, trail_for

    found = find_enabled(settings.plugins.statements)
    for each in found:
        logger.info("plug-in: %s", each)
    if not (settings.sign_in.method or settings.audit.always):
        return
    try:
        trail = trail_for(settings, f"triage {process}")
        for each in found:
            note_configuration(trail, f"plugin:{each.key}", f"in use: {each}")
    except AuditError as error:
        sink = audit_sink(settings, process)
        raise StartError(
            f"{sink.setting}: that plug-ins are used could not be written to {sink.name} ({error}): they are not loaded"
        ) from error


def _callable_ones(settings: PluginSettings, group: PluginGroup) -> dict[str, LoadedPlugin]:
    from triage.plugins.errors import PluginError
    from triage.plugins.installed import KIND_IN_WORDS

    found = _loaded(settings, group)
    for key, each in found.items():
        if not callable(each.target):
            raise PluginError(
                f"the plug-in {key} registers a {type(each.target).__name__} as a {KIND_IN_WORDS[group]}, which cannot "
                "be called"
            )
    return found


def _loaded(settings: PluginSettings, group: PluginGroup) -> dict[str, LoadedPlugin]:
    if not settings.enabled:
        return {}
    from triage.plugins.installed import find_enabled
    from triage.plugins.load import load_plugin

    found = find_enabled(settings.statements)
    return {each.key: load_plugin(each) for each in found if each.group is group}
