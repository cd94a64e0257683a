"""Settings of the models."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from triage.setting_types import NamedShare, Section


class ModelSettings(Section):
    """Models that score, and their operating point."""

    path: Path | None = Field(
        None,
        description="Folder of the model folders. Empty: those of the checkout that the program runs from, else of "
        "the installed package cxr-triage-models."
        " For this one release `models` in the current folder goes before both.",
    )
    names: tuple[str, ...] = Field(
        (),
        description="Model folders to load, each of which must load; empty loads all of them but demonstrations. Two "
        "in service for the same images are refused.",
    )
    shadow: tuple[str, ...] = Field(
        (),
        description="Loaded models that score next to those in service, and change nothing; demonstrations too.",
    )
    operating_point: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Probability of the leading finding from which an image is ABNORMAL, for every model. Empty: the "
        "operating points of the models' cards.",
    )
    prevalence: tuple[NamedShare, ...] = Field(
        (),
        description="NAME=SHARE of models: which share of its patients is abnormal at your site. Page, API and "
        "`explain` then show the probability for that share next to the score; no tag changes.",
    )
    adult_when_age_unknown: bool = Field(
        False,
        description="Let the adult model score patients of whom no age is stated; otherwise they are not assessed. "
        "Where what is stated contradicts itself, they never are.",
    )
    allow_demo: bool = Field(
        False,
        description="Let models marked as demo (not shown to know more than chance) decide. Never in clinical use.",
    )

    @property
    def prevalence_by_name(self) -> dict[str, float]:
        """``prevalence`` by model."""
        return {name: float(share) for name, _, share in (each.rpartition("=") for each in self.prevalence)}
