"""Other models to compare with: a model folder, a training run, or a file of scores."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from triage.model.card import CARD, ModelCard, load_card
from triage.validation.scores.external import Scores, read_scores
from triage.validation.scores.predictions import PredictionsError

RUN, RUN_SCORES = "run.json", "predictions.csv"
"""Files in the folder of a training run: its configuration, and its out-of-fold scores."""


@dataclass(frozen=True)
class Design:
    """The name of a network's architecture and the side of its input in pixels; None where unknown."""

    architecture: str | None = None
    size: int | None = None


def is_model(path: Path) -> bool:
    """Return whether it is a folder with a card."""
    return (path / CARD).is_file()


def check_usable(path: Path) -> None:
    """Raise StartError if it is neither a model folder nor scores that can be read."""
    load_card(path.resolve()) if is_model(path) else read_scores(scores_file(path))


def scores_file(path: Path) -> Path:
    """Return the file itself, or the file of scores in a run's folder."""
    return path / RUN_SCORES if path.is_dir() else path


def read_scores_of(path: Path) -> Scores:
    """Read the scores in a file or a run's folder. Raises PredictionsError."""
    return read_scores(scores_file(path))


def name_of(path: Path) -> str:
    """Return the name of the folder or file without suffix; for the scores in a run's folder the folder's name."""
    whole = path.resolve()
    if whole.name == RUN_SCORES and (whole.parent / RUN).is_file():
        return whole.parent.name
    return whole.name if whole.is_dir() else whole.stem


def design_of(path: Path) -> Design:
    """Read the design from the card, or from the configuration of the training run. Raises PredictionsError."""
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
    """Return the card's architecture without its comments, and the size of its input."""
    return Design(card.architecture.partition(",")[0].partition(" at ")[0], card.preprocessing.size)
