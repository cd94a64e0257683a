"""Check plug-ins: those that the settings enable are loaded, and those that are only installed are named."""

from __future__ import annotations

from collections.abc import Iterator

from triage.errors import StartError
from triage.plugins.installed import find_enabled, installed_plugins
from triage.service.check.finding import CheckResult, failed, ok
from triage.service.plugins import channel_plugins, model_loaders, rules
from triage.settings.sections.plugins import PluginSettings


def check_plugins(settings: PluginSettings) -> Iterator[CheckResult]:
    """Load each enabled plug-in as its process does; one whose import does not end takes its time-out."""
    try:
        enabled = find_enabled(settings.statements)
    except StartError as error:
        yield failed("plug-ins", str(error))
        enabled = ()
    for each in enabled:
        alone = settings.model_copy(update={"enabled": (each.statement,)})
        try:
            for load in (model_loaders, channel_plugins, rules):
                load(alone)
        except StartError as error:
            yield failed(f"plug-in {each.key}", str(error))
        else:
            yield ok(f"plug-in {each.key}", f"enabled: {each}")
    known = {each.key for each in enabled} | {each.key for each in settings.statements}
    for each in installed_plugins():
        if each.key not in known:
            yield ok(f"plug-in {each.key}", f"installed, not loaded; plugins.enabled would name it {each.statement}")
