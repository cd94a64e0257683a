"""The model folders and their states, and the comparison of shadow models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from triage.commands.output.console import console_for_people
from triage.decision.types import Tag

if TYPE_CHECKING:
    from triage.operations.shadow import ShadowComparison
    from triage.settings.sections.models import ModelSettings


def show_models(models: ModelSettings, disabled: frozenset[str]) -> None:
    """Print where the models lie, whom each is for, and whether it scores.

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
        except ModelRefusedError as error:
            table.add_row(name, "", "", "", f"refused: {error}")
            continue
        state = _state(name, models, disabled, demo=card.demo)
        licence = card.licence.weights if card.licence else "not known"
        table.add_row(name, card.version, card.covers, licence, state)
    console = console_for_people()
    console.print(f"models in {folder}:" if names else f"no model in {folder}", highlight=False, soft_wrap=True)
    if names:
        console.print(table)


def _state(name: str, models: ModelSettings, disabled: frozenset[str], *, demo: bool) -> str:
    if name in disabled:
        return "switched off"
    if name in models.shadow:
        return "in shadow"
    if demo and not models.allow_demo:
        return "demonstration, not used (models.allow_demo)"
    return "in service"


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
