"""Description of a model that no measurement gives: intended use and limits. A TOML file that a person writes."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.errors import TrainingError
from triage.model.card import IntendedUse, Licence
from triage.model.card_finding import CardCode, FindingName

FOLDER = Path(__file__).parent / "cards"


class _DescriptionPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataDescription(_DescriptionPart):
    """Training data in words, and the configuration."""

    data: tuple[str, ...]
    recipe: str


class FindingDescription(_DescriptionPart):
    """One output of the run as a finding of the card; ``target`` is the output's name in the run's configuration."""

    target: str
    name: FindingName
    title: str
    code: CardCode | None = None
    positive_class: str
    negative_class: str
    negative_means: Literal["absent", "undetermined"]
    counts: bool = True


class AbnormalDescription(_DescriptionPart):
    """``negative_is_normal``: negatives of all findings that count mean "no abnormality"."""

    negative_is_normal: bool


class ExportDescription(_DescriptionPart):
    """Names of cohorts and their reference in the card."""

    target_sensitivity: float = Field(0.95, gt=0, lt=1)
    validation: str
    reference: str
    how: str = ""
    test: str = ""


class DescriptionFile(_DescriptionPart):
    """Content of the file."""

    version: str
    limits: tuple[str, ...]
    findings: tuple[FindingDescription, ...] = Field(min_length=1)
    abnormal: AbnormalDescription
    intended_use: IntendedUse
    licence: Licence
    training: DataDescription
    export: ExportDescription

    @property
    def for_adults(self) -> bool:
        """True if the model is for adults too."""
        below = self.intended_use.age_below
        return below is None or below > 18


def read_description(path: Path | None, name: str) -> DescriptionFile:
    """Read the file at ``path``, or export/cards/NAME.toml. Raises TrainingError naming a wrong key."""
    file = path or FOLDER / f"{name}.toml"
    try:
        return DescriptionFile.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise TrainingError(
            f"{file} cannot be read: say with --card what a model is for, as {FOLDER / 'nih-adult.toml'} does"
        ) from error
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise TrainingError(f"{file}: {where}: {problem['msg']}") from error
    except ValueError as error:
        raise TrainingError(f"{file}: {error}") from error
