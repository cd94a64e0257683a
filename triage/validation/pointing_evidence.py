"""The pointing game of a validation as an entry of the model's card: the evidence without which no map is shown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from triage.errors import StartError
from triage.model.card import CARD, ModelCard, load_card, read_card
from triage.model.card_finding import Interval, PointingGame
from triage.runtime.durable import rename_file
from triage.validation.measures.whole_record import MetricsRecord
from triage.validation.scores.activation_maps import FindingHits


class NoEvidenceError(StartError):
    """A report of a validation says nothing of where the model's map points; the message says why."""


def evidence_of(
    metrics: MetricsRecord, card: ModelCard, marked: str, reference: str, held_out: str = ""
) -> PointingGame:
    """Return the entry of the leading finding.

    Args:
        metrics: The report of a validation with boxes.
        card: The model's card.
        marked: The finding of the boxes that count as the model's leading one; "all" for every box.
        reference: Whose boxes they are.
        held_out: How it is known that the model was not trained on these images, where the report cannot know.

    Raises NoEvidenceError.
    """
    _check_held_out(metrics, card, held_out)
    found = _hits(metrics, marked)
    title = metrics["cohort"]["title"] or metrics["cohort"]["manifest"]
    cohort = f"{title} (manifest {metrics['cohort']['manifest_sha256'][:12]}), boxes of: {marked}"
    low, high = found["interval"]
    hits = Interval(value=found["share"], low=low, high=high, method="Clopper-Pearson", n=found["n"])
    return PointingGame(
        cohort=f"{cohort}; {held_out}" if held_out else cohort, reference=reference, hits=hits, chance=found["chance"]
    )


def write_evidence(folder: Path, entry: PointingGame) -> ModelCard:
    """Write the entry into the card of a model folder, in one step, and return the card as it is then.

    An entry of the same cohort is replaced; others stay, since a map is shown only if it points in every one. Raises
    ModelRefusedError, OSError.
    """
    card = read_card(folder)
    others = [each for each in card.leading.pointing_game if each.cohort != entry.cohort]
    stated = card.leading.model_copy(update={"pointing_game": (*others, entry)})
    findings = [stated if each.name == stated.name else each for each in card.findings]
    record = card.model_copy(update={"findings": tuple(findings)}).model_dump(mode="json")
    written = folder / f".{CARD}.new"
    written.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    shutil.copymode(folder / CARD, written)  # the service may be another user
    rename_file(written, folder / CARD)
    return load_card(folder)


def _check_held_out(metrics: MetricsRecord, card: ModelCard, held_out: str) -> None:
    if metrics["model"]["sha256"] != card.model_sha256:
        raise NoEvidenceError(f"the report is of other weights than {card.model_id}: validate the model of this folder")
    cohort = metrics["cohort"]
    if cohort["images_of_training_patients"]:
        raise NoEvidenceError(
            f"{cohort['images_of_training_patients']} images of the report are of patients that the model was trained "
            "on: validate again with --exclude-training-patients"
        )
    if cohort["images_of_training_patients"] is None and not held_out:
        raise NoEvidenceError(
            f"it is not known whether the model was trained on these images ({cohort['why_not_known']}): say with "
            "--held-out how you know that it was not"
        )


def _hits(metrics: MetricsRecord, marked: str) -> FindingHits:
    game = metrics["pointing_game"]
    if game is None:
        raise NoEvidenceError("the report was made without boxes: triage validate --boxes")
    if not game["findings"]:
        raise NoEvidenceError(f"the pointing game was not played: {game.get('why_not', 'no image had a box')}")
    by_name = {each["finding"]: each for each in game["findings"]}
    if marked not in by_name:
        raise NoEvidenceError(f"the report has no boxes of {marked}: there are {', '.join(by_name)}")
    return by_name[marked]
