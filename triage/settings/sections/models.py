"""Settings of the models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from triage.setting_types import NamedShare, Section

StationName = Annotated[str, Field(pattern=r"\S")]


class ServedPatients(Section):
    """Patients, views and stations that one model serves; what is left out is as its card says."""

    model: str = Field(description="Name of the model.")
    views: tuple[Literal["PA", "AP"], ...] = Field((), description="Views; empty: those of the card.")
    stations: tuple[StationName, ...] = Field((), description="Station Names (0008,1010); empty: those of the card.")
    age_from: float | None = Field(None, ge=0, allow_inf_nan=False, description="Age in years from which.")
    age_below: float | None = Field(None, gt=0, allow_inf_nan=False, description="Age in years below which.")


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
    serve: tuple[ServedPatients, ...] = Field(
        (),
        description="Which patients, views and stations each model serves, as tables [[models.serve]]; empty: all that "
        "the cards allow. With one table, every model in service needs one.",
    )
    operating_point: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Probability of the leading finding from which an image is ABNORMAL, for every model. Empty: the "
        "operating points of the models' cards.",
    )
    operating_points: Path | None = Field(
        None,
        description="File of the site's operating points by finding, view, age band and station (JSON or TOML), as "
        "`triage validate --choose RULE` writes it. They precede `operating_point` and the cards.",
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

    @field_validator("serve")
    @classmethod
    def _names_each_model_once(cls, tables: tuple[ServedPatients, ...]) -> tuple[ServedPatients, ...]:
        names = [each.model for each in tables]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)}: two tables, and a model serves what one table says")
        return tables

    @property
    def prevalence_by_name(self) -> dict[str, float]:
        """``prevalence`` by model."""
        return {name: float(share) for name, _, share in (each.rpartition("=") for each in self.prevalence)}
