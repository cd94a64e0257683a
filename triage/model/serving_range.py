"""PURE: the patients, views and stations that each model serves at a site, and what no model serves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from triage.model.card import IntendedUse, ModelCard
from triage.model.folder_check import ModelRefusedError
from triage.radiograph.types import View

OLDEST_YEARS = 130.0
ANY_OTHER_STATION = ""


@dataclass(frozen=True)
class ServingRange:
    """Patients, views and stations that a site gives a model; empty or None: as its card says.

    Ages in years, ``age_below`` exclusive.
    """

    views: tuple[str, ...] = ()
    stations: tuple[str, ...] = ()
    age_from: float | None = None
    age_below: float | None = None


def narrowed(card: ModelCard, served: ServingRange) -> ModelCard:
    """Return the card with the intended use that the site gives it. Raises ModelRefusedError for a wider one."""
    use = card.intended_use
    oldest = OLDEST_YEARS if use.age_below is None else use.age_below
    first = use.age_from if served.age_from is None else served.age_from
    below = use.age_below if served.age_below is None else served.age_below
    faults = [
        *(f"view {view}" for view in served.views if view not in use.views),
        *(f"ages from {first:g}" for _ in [0] if first < use.age_from),
        *(f"ages to below {below:g}" for _ in [0] if below is not None and below > oldest),
        *(f"station {each}" for each in served.stations if not card.covers_station(each)),
    ]
    if faults:
        raise ModelRefusedError(
            f"models.serve gives {card.name} {', '.join(faults)}, and its card is for {card.covers}: a site can narrow "
            "what a model is for, and not widen it"
        )
    if below is not None and below <= first:
        raise ModelRefusedError(f"models.serve gives {card.name} no age: {first:g} to below {below:g}")
    changes = {
        "views": served.views or use.views,
        "stations": served.stations or use.stations,
        "age_from": first,
        "age_below": below,
    }
    return card.model_copy(update={"intended_use": use.model_copy(update=changes)})


def narrow_all(
    cards: Mapping[str, ModelCard], serve: Mapping[str, ServingRange], shadow: frozenset[str]
) -> dict[str, ModelCard]:
    """Return the cards, those in service narrowed by ``serve``, by model name.

    Raises ModelRefusedError for a range of an unknown model, and, where there are ranges, for a model in service
    without one: it would serve everything its card allows, which nothing in the settings says.
    """
    if not serve:
        return dict(cards)
    if unknown := sorted(serve.keys() - cards.keys()):
        raise ModelRefusedError(f"models.serve has {', '.join(unknown)}, and no such model is loaded")
    if silent := sorted(name for name in cards if name not in serve and name not in shadow):
        raise ModelRefusedError(
            f"models.serve says nothing of {', '.join(silent)}: add a table for it, leave it out of models.names, or "
            "name it in models.shadow"
        )
    return {name: narrowed(card, serve[name]) if name in serve else card for name, card in cards.items()}


@dataclass(frozen=True)
class Hole:
    """Patients of whom nothing is looked for, or not ``finding``; empty: no model at all. Ages in years."""

    finding: str
    view: str
    station: str
    age_from: float
    age_below: float

    def __str__(self) -> str:
        """Return it in words."""
        where = f", station {self.station}" if self.station else ""
        what = f"{self.finding} is not looked for" if self.finding else "no model, NOT_ASSESSED"
        return f"ages {self.age_from:g} to below {self.age_below:g}, {self.view}{where}: {what}"


def holes(cards: Sequence[ModelCard]) -> list[Hole]:
    """Return what the models in service leave out: first what has no model, then findings that some patients lack."""
    names = list(dict.fromkeys(finding.name for card in cards for finding in card.findings))
    found = list(_holes_of("", cards))
    for name in names:
        having = [card for card in cards if name in {each.name for each in card.findings}]
        found += [each for each in _holes_of(name, having) if not _inside(each, found)]
    return found


def _holes_of(finding: str, cards: Sequence[ModelCard]) -> Iterator[Hole]:
    stations = sorted({station for card in cards for station in card.intended_use.stations})
    for view in (View.PA, View.AP):
        for station in (ANY_OTHER_STATION, *stations):
            fitting = [card.intended_use for card in cards if _covers(card, view, station)]
            for first, below in _gaps(fitting):
                yield Hole(finding, str(view), station, first, below)


def _covers(card: ModelCard, view: View, station: str) -> bool:
    named = card.intended_use.stations
    return card.covers_view(view) and (not named or (bool(station) and card.covers_station(station)))


def _gaps(uses: Sequence[IntendedUse]) -> Iterator[tuple[float, float]]:
    """Yield the age ranges below 130 years that no use covers."""
    reached = 0.0
    for use in sorted(uses, key=lambda each: each.age_from):
        if use.age_from > reached:
            yield reached, use.age_from
        reached = max(reached, math.inf if use.age_below is None else use.age_below)
    if reached < OLDEST_YEARS:
        yield reached, OLDEST_YEARS


def _inside(hole: Hole, others: Sequence[Hole]) -> bool:
    """Return True if nothing at all is looked for there."""
    return any(
        (each.view, each.station, each.finding) == (hole.view, hole.station, "")
        and each.age_from <= hole.age_from
        and hole.age_below <= each.age_below
        for each in others
    )
