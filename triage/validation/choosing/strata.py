"""Strata of a cohort for which operating points are chosen: all images, then by view, age band and station."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from triage.decision.operating_points import ImageFacts
from triage.model.card import ModelCard
from triage.model.points_entry import PointStratum
from triage.radiograph.types import View
from triage.validation.choosing.rule import ChoiceError
from triage.validation.scores.prediction import Prediction

_KINDS = ("view", "age", "station")  # a later one divides those before: the order of the service, least specific first


def strata_of(by: Sequence[str], card: ModelCard, predictions: Iterable[Prediction]) -> list[PointStratum]:
    """Return all images, and the strata that ``by`` asks for, wider before narrower.

    Args:
        by: ``view``, ``age=FROM,FROM,...`` (years at which a band begins), ``station``; each divides those before it.
        card: The model's card, whose ages and views the bands are within.
        predictions: The images, whose views and stations are used.

    Raises:
        ChoiceError: An entry of ``by`` cannot be read, or is given twice.
    """
    images = list(predictions)
    asked = dict(_asked(each) for each in by)
    if len(asked) != len(by):
        raise ChoiceError("--by: each of view, age and station is given once")
    found = level = [PointStratum()]
    for kind in _KINDS:
        if kind in asked:
            level = [
                stratum.model_copy(update=part) for stratum in level for part in _parts(kind, asked[kind], card, images)
            ]
            found = [*found, *level]
    return found


def has(stratum: PointStratum, image: Prediction) -> bool:
    """Return True if the image is in the stratum, by the facts that the service goes by."""
    return stratum.stratum.has(ImageFacts(image.view, image.age_years, image.station))


def _asked(text: str) -> tuple[str, tuple[float, ...]]:
    kind, _, values = text.partition("=")
    if kind not in _KINDS or bool(values) != (kind == "age"):
        raise ChoiceError(f"--by {text}: write view, station, or age=FROM,FROM,... (years at which a band begins)")
    try:
        ages = tuple(float(each) for each in values.split(",")) if values else ()
    except ValueError:
        raise ChoiceError(f"--by {text}: an age is no number") from None
    if any(not 0 <= age < 130 for age in ages) or list(ages) != sorted(set(ages)):
        raise ChoiceError(f"--by {text}: ages rise, from 0 to 130")
    return kind, ages


def _parts(
    kind: str, ages: Sequence[float], card: ModelCard, images: Sequence[Prediction]
) -> list[dict[str, str | float | None]]:
    if kind == "view":
        views = sorted({each.view for each in images} & {"PA", "AP", "FRONTAL"})
        return [{"view": view} for view in views if card.covers_view(View(view))]
    if kind == "station":
        names = {each.station.strip().casefold(): each.station.strip() for each in images if each.station.strip()}
        return [{"station": name} for name in sorted(names.values()) if card.covers_station(name)]
    use = card.intended_use
    inside = [age for age in ages if age > use.age_from and (use.age_below is None or age < use.age_below)]
    edges = [use.age_from, *inside]
    bands = [*pairwise(edges), (edges[-1], use.age_below)]
    return [{"age_from": begin, "age_below": end} for begin, end in bands] if len(edges) > 1 else []
