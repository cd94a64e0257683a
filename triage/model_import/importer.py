"""Import of a foreign model as a model folder. Nothing is written unless all of it is right."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from onnx import save_model

from triage.model.card import CARD, WEIGHTS, Distribution, ModelCard, load_card
from triage.model.session import check_loads
from triage.model.wrapping_foreign import wrap_foreign
from triage.model_import.candidate import Candidate, ImportRequest, check_candidate
from triage.model_import.distance_fit import SiteDistance, fit_distance
from triage.model_import.foreign_card import Measured, card_of
from triage.model_import.model_folder import staged

_PROVISIONAL = "0" * 64
_UNTIL_FITTED = "until it is fitted"


def _nothing(card: ModelCard) -> None:
    return None


@dataclass(frozen=True)
class Imported:
    """The result: the card as written, its folder, and notes for people."""

    card: ModelCard
    folder: Path
    notes: tuple[str, ...]


def import_model(
    request: ImportRequest,
    models: Path,
    *,
    replacing: bool = False,
    side_by_side: bool = False,
    announce: Callable[[ModelCard], object] = _nothing,
) -> Imported:
    """Write the model folder below ``models``. Raises ImportRefusedError with all mistakes.

    The folder is NAME, or ``side_by_side`` with another version NAME@VERSION (docs/adr/0066). ``announce`` is called
    before the folder gets its place; an error of it ends the import.
    """
    candidate = check_candidate(request, for_import=True)
    described = candidate.described
    name = f"{described.name}@{described.version}" if side_by_side else described.name
    with staged(models, name, replacing=replacing) as folder:
        distance = _distance(candidate, request)
        fitted, distribution = (distance.fitted, distance.distribution) if distance else (None, None)
        save_model(wrap_foreign(candidate.network, candidate.form.wrapping, fitted), folder / WEIGHTS)
        digest = sha256((folder / WEIGHTS).read_bytes()).hexdigest()
        card = _card(candidate, digest, distribution)
        record = json.dumps(card.model_dump(mode="json"), indent=1)
        (folder / CARD).write_text(record + "\n", encoding="utf-8")
        load_card(folder)
        check_loads(folder, card, "cpu", 0)
        announce(card)
    notes = (*candidate.notes, distance.note) if distance else candidate.notes
    return Imported(card, models / name, notes)


def _distance(candidate: Candidate, request: ImportRequest) -> SiteDistance | None:
    if candidate.described.distance.without:
        return None
    provisional = _card(candidate, _PROVISIONAL, None, without=_UNTIL_FITTED)
    with TemporaryDirectory() as work:
        return fit_distance(candidate, provisional, request.images, request.origin, request.policy, Path(work))


def _card(candidate: Candidate, digest: str, distribution: Distribution | None, *, without: str = "") -> ModelCard:
    given = sha256(candidate.graph.content).hexdigest()
    described = candidate.described
    words = without or described.distance.without
    return card_of(described, candidate.form, Measured(given, digest, distribution, words, candidate.notes))
