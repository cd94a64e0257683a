"""The model folders and their states, and the comparison of shadow models."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from rich.table import Table

from triage.commands.output.console import console_for_people
from triage.decision.types import Tag

if TYPE_CHECKING:
    from triage.model.card import ModelCard
    from triage.model.card_finding import OperatingPoint, Performance
    from triage.model.versions import RegistryAct, RegistryHistory
    from triage.operations.shadow import ShadowComparison
    from triage.settings.schema import Settings
    from triage.settings.sections.models import ModelSettings
    from triage.settings.sections.plugins import PluginSettings


def show_models(models: ModelSettings, disabled: frozenset[str], history: RegistryHistory) -> None:
    """Print where the models lie, whom each serves, and whether it scores.

    Raises ModelRefusedError where no folder of models is found.
    """
    from triage.model.card import CARD, ModelRefusedError, load_card
    from triage.model.installed import models_folder

    folder = models_folder(models.path)
    names = models.names or tuple(sorted(path.parent.name for path in folder.glob(f"*/{CARD}")))
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "version", "covers", "licence of the weights", "state"):
        table.add_column(heading, overflow="fold")
    for name in names:
        try:
            card = load_card(folder / name)
            covers = _served(card, models)
        except ModelRefusedError as error:
            table.add_row(name, "", "", "", f"refused: {error}")
            continue
        state = _state(name, models, disabled, history, demo=card.demo)
        licence = card.licence.weights if card.licence else "not known"
        table.add_row(name, card.version, covers, licence, state + _with_plugins(card))
    console = console_for_people()
    console.print(f"models in {folder}:" if names else f"no model in {folder}", highlight=False, soft_wrap=True)
    if names:
        console.print(table)


def _with_plugins(card: ModelCard) -> str:
    """Return the plug-ins that a model needs, in words that follow its state."""
    from triage.model.backend import PluginBackend

    loader = [f"loaded by {card.backend.loader}"] if isinstance(card.backend, PluginBackend) else []
    rules = sorted({each.rule.plugin for each in card.findings if each.rule and each.rule.plugin})
    return "".join(f"; {text}" for text in (*loader, *(f"with the rule {rule}" for rule in rules)))


def show_plugins(plugins: PluginSettings) -> None:
    """Print each enabled plug-in with version, digest and place. Raises PluginError for one that may not be used."""
    from triage.plugins.installed import find_enabled

    console = console_for_people()
    for each in find_enabled(plugins.statements):
        console.print(f"plug-in: {each}", highlight=False, soft_wrap=True, markup=False)


def _served(card: ModelCard, models: ModelSettings) -> str:
    """Return whom a model serves at this site, in words. Raises ModelRefusedError."""
    from triage.model.serving_range import narrowed
    from triage.service.models import registry_policy

    served = registry_policy(models).serve.get(card.name)
    return narrowed(card, served).covers if served else card.covers


def _state(name: str, models: ModelSettings, disabled: frozenset[str], history: RegistryHistory, *, demo: bool) -> str:
    from triage.model.versions import name_in

    promoted = history.promoted(name_in(name))
    if name_in(name) in disabled and name not in models.shadow:
        return "switched off"
    if history.is_retired(name):
        return "retired"
    if name in models.shadow:
        return "switched off, in shadow" if name in disabled else "in shadow"
    if demo and not models.allow_demo:
        return "demonstration, not used (models.allow_demo)"
    if promoted is not None and promoted.folder != name:
        return f"not in service: {promoted.folder} is"
    return "in service"


def show_holes(models: ModelSettings, history: RegistryHistory) -> None:
    """Print what the models in service leave out. Raises ModelRefusedError if they cannot be loaded together."""
    from triage.model.installed import installed, models_folder
    from triage.model.serving_range import holes
    from triage.model.urgencies import in_service
    from triage.service.models import registry_policy

    found = installed(models_folder(models.path), models.names, registry_policy(models, history))
    console = console_for_people()
    for hole in holes(in_service(found.cards, models.shadow)):
        console.print(f"not served: {hole}", highlight=False, soft_wrap=True)


def show_model(card: ModelCard, history: RegistryHistory, folder: str) -> None:
    """Print a card in short, and the acts of persons on its folder."""
    console = console_for_people()

    def line(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True, markup=False)

    line(f"{card.model_id}, sha256 {card.model_sha256}")
    line(f"for {card.covers}")
    for finding in card.findings:
        line(f"{finding.name}: {finding.title}; " + ("counts" if finding.counts else "does not count"))
        line(f"  positive: {finding.positive_class}; negative: {finding.negative_class} ({finding.negative_means})")
        for point in finding.operating_points:
            line(f"  {point.name}: from {point.threshold:g}; {_figures(point)}{point.chosen}")
        for measured in finding.performance:
            line(f"  {measured.cohort}: {_intervals(measured)}")
    for measured in card.abnormal.performance:
        line(f"all that count together, {measured.cohort}: {_intervals(measured)}")
    for limit in card.limits:
        line(f"limit: {limit}")
    for entry in (each for each in history.entries if each.folder == folder):
        at = datetime.fromtimestamp(entry.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        line(f"{entry.act}d {at} by {entry.by}, sha256 {entry.digest[:16]}: {entry.reason}")


def _intervals(measured: Performance) -> str:
    return ", ".join(f"{name} {each.value:g} ({each.low:g}-{each.high:g})" for name, each in measured.figures.items())


def _figures(point: OperatingPoint) -> str:
    named = (("sensitivity", point.sensitivity), ("specificity", point.specificity))
    texts = [f"{name} {each.value:g} ({each.low:g}-{each.high:g})" for name, each in named if each]
    return ", ".join(texts) + "; " if texts else ""


def change_registry(settings: Settings, act: RegistryAct, folder: str, reason: str) -> str:
    """Record an act on a version, after a check that the models in service still fit; in the audit trail first.

    Returns the folder that serves under the model's name from then on; empty for none.

    Raises CannotStart for models that would not load together, and ClickException for a folder that is not there.
    """
    from triage.commands.base import audit, open_spool, start_errors
    from triage.model.card import CARD, load_card
    from triage.model.installed import installed, models_folder
    from triage.model.registry_file import REGISTRY_PLACE, add_to_registry
    from triage.model.versions import RegistryEntry, RegistryHistory, name_in
    from triage.security.audit_trail import note_configuration, operator
    from triage.service.models import registry_history, registry_policy

    with start_errors():
        models = models_folder(settings.models.path)
        if "/" in folder or not (models / folder / CARD).is_file():
            raise click.ClickException(f"no model folder {folder} in {models}: `triage models list` lists them")
        spool, card = open_spool(settings), load_card(models / folder)
        entry = RegistryEntry(act, folder, card.model_sha256, operator().name, time.time(), reason)
        after = RegistryHistory([*registry_history(settings).entries, entry])
        loaded = installed(models, settings.models.names, registry_policy(settings.models, after))
        text = f"{act}: {reason} (sha256 {card.model_sha256})"
        audit(settings, "triage models", lambda trail: note_configuration(trail, f"model:{folder}", text))
        add_to_registry(spool.entries(REGISTRY_PLACE), entry)
    serving = loaded.folders.get(name_in(folder))
    return serving.name if serving and name_in(folder) not in settings.models.shadow else ""


def switch_model(settings: Settings, name: str, *, disabled: bool) -> None:
    """Switch a model off or on, in the audit trail first. Raises ClickException for one that is not installed."""
    from triage.commands.base import audit, open_spool, start_errors
    from triage.model.card import CARD
    from triage.model.installed import models_folder
    from triage.security.audit_trail import note_configuration

    spool = open_spool(settings)
    with start_errors():
        folder = models_folder(settings.models.path)
    known = name in spool.model_switches.disabled() or any(
        path.parent.name.partition("@")[0] == name or path.parent.name == name for path in folder.glob(f"*/{CARD}")
    )
    if not known:
        raise click.ClickException(f"no model {name} in {folder}: `triage models list` lists them")
    text = "switched off" if disabled else "switched on"
    audit(settings, "triage models", lambda trail: note_configuration(trail, f"model:{name}", text))
    try:
        spool.model_switches.set_disabled(name, disabled)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{name} is {text}")


def show_shadow(comparisons: Sequence[ShadowComparison]) -> None:
    """Print how often the models in shadow gave another tag than those in service."""
    table = Table(box=None, pad_edge=False)
    shown = {Tag.ABNORMAL: "abnormal", Tag.NORMAL: "normal", Tag.NOT_ASSESSED: "not assessed"}
    table.add_column("in service")
    table.add_column("in shadow")
    for heading in ("images", "same tag", *(f"{shown[a]} → {shown[b]}" for a in shown for b in shown if a != b)):
        table.add_column(heading, justify="right")
    for each in comparisons:
        changes = (str(each.counts.get((a, b), 0)) for a in shown for b in shown if a != b)
        same = f"{each.agreed} ({each.agreed / each.images:.1%})"
        table.add_row(each.model, each.shadow, str(each.images), same, *changes)
    console_for_people().print(table if comparisons else "no image was scored by a model in shadow next to another one")
