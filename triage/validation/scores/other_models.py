"""Other models beside the one that is validated: a model folder, a run of training, or a file of anyone's scores."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from triage.model.card import CARD, ModelCard, load_card
from triage.validation.scores.external import read_scores
from triage.validation.scores.predictions import PredictionsError

RUN, RUN_SCORES = "run.json", "predictions.csv"
"""What `python -m training` leaves in a run's folder: its configuration, and its out-of-fold scores."""


@dataclass(frozen=True)
class Design:
    """What a network is: the name of its architecture and the side of its input in pixels, as far as is known."""

    architecture: str | None = None
    size: int | None = None


def is_model(path: Path) -> bool:
    """Whether it is a folder with a card."""
    return (path / CARD).is_file()


def check(path: Path) -> None:
    """Raise StartError for what is neither a model folder nor scores that can be read."""
    load_card(path.resolve()) if is_model(path) else read_scores(scores_file(path))


def scores_file(path: Path) -> Path:
    """The file itself, or that in a run's folder."""
    return path / RUN_SCORES if path.is_dir() else path


def name_of(path: Path) -> str:
    """A folder's name, a file's without its suffix; of the scores in a run's folder the folder's."""
    whole = path.resolve()
    if whole.name == RUN_SCORES and (whole.parent / RUN).is_file():
        return whole.parent.name
    return whole.name if whole.is_dir() else whole.stem


def design_of(path: Path) -> Design:
    """From the card, or the configuration of the run that made the scores. Raises PredictionsError for a broken one."""
    if is_model(path):
        return design_in(load_card(path.resolve()))
    run = scores_file(path).parent / RUN
    if not run.is_file() or scores_file(path).name != RUN_SCORES:
        return Design()
    try:
        config = json.loads(run.read_text(encoding="utf-8"))["config"]
        return Design(str(config["model"]["architecture"]), int(config["input"]["size"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PredictionsError(f"{run} is not the run.json of a training: {error}") from error


def design_in(card: ModelCard) -> Design:
    """The card's architecture up to the first word about it, and the size of its input."""
    return Design(card.architecture.partition(",")[0].partition(" at ")[0], card.preprocessing.size)
