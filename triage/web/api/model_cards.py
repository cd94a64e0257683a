"""Use and figures of a model, from its card: ``GET /api/models/{model_digest}``. No patient."""

from __future__ import annotations

from functools import partial

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from triage.model.card import ModelCard
from triage.model.card_finding import CardFinding
from triage.web.api.sources import Sources


def route(sources: Sources) -> Route:
    """Return the route of a model's card."""
    return Route("/api/models/{model_digest}", partial(_card, sources))


def _card(sources: Sources, request: Request) -> JSONResponse:
    card = sources.cards.of(request.path_params["model_digest"])
    if card is None:
        raise HTTPException(404, "no installed model has these weights: its figures are not known here")
    return JSONResponse(described(card))


def described(card: ModelCard) -> dict[str, object]:
    """Return the parts of a card that a reader asks for, each figure with its cohort, number and interval."""
    licence = None if card.licence is None else card.licence.model_dump()
    return {
        "model_id": card.model_id,
        "model_digest": card.model_sha256,
        "demo": card.demo,
        "intended_use": card.intended_use.model_dump(mode="json"),
        "negative_is_normal": card.abnormal.negative_is_normal,
        "findings": [_finding(each) for each in card.findings],
        "combined": [each.model_dump(mode="json") for each in card.abnormal.performance],
        "trained_on": list(card.training.data),
        "limits": list(card.limits),
        "licence": licence,
    }


def _finding(finding: CardFinding) -> dict[str, object]:
    names = {"name", "title", "positive_class", "negative_class", "negative_means", "counts"}
    parts = {"operating_points", "performance", "pointing_game"}
    return finding.model_dump(mode="json", include=names | parts)
