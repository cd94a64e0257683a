"""Models and settings that decide in this process, as they were loaded, for the comparison between hosts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from triage.decision.operating_points import SitePoint, SitePoints
from triage.model.card import ModelCard
from triage.operations.in_work import Forms, Part, form_of, form_of_value
from triage.runtime.release import RELEASE
from triage.setting_types import Section
from triage.settings.schema import Settings

_PLACES = frozenset({"path", "names", "operating_points", "operating_point", "prevalence"})
"""Settings of models that are addresses, or that another part has: which models work is told by the models."""
_REMINDERS = frozenset({"silent_days"})
_DRAWS = ("random_fraction", "random_seed", "uncertain_within")


def parts_in_work(settings: Settings, cards: Mapping[str, ModelCard], out: Iterable[str], points: SitePoints) -> Forms:
    """Return what decides, by part and name.

    Args:
        settings: All settings.
        cards: The cards of the models by name.
        out: Names of models that could not be loaded, or whose server is out of service.
        points: The site's operating points as they were loaded.
    """
    working = {name: card for name, card in cards.items() if name not in set(out)}
    return {
        Part.MODELS: {name: form_of(card) for name, card in working.items()},
        Part.OPERATING_POINTS: _of_settings("models", settings.models, ("operating_point", "prevalence"))
        | _points(points, cards),
        Part.PRIORITIES: _all_but("decision", settings.decision, _REMINDERS)
        | _of_settings("worklist", settings.worklist, ("waiting_cap_s",)),
        Part.IMAGES: _all_but("eligibility", settings.eligibility) | _all_but("models", settings.models, _PLACES),
        Part.CASES: _of_settings("adjudication", settings.adjudication, _DRAWS),
        Part.DESTINATIONS: _destinations(settings),
        Part.PROGRAM: {"version": RELEASE} | _of_settings("plugins", settings.plugins, ("enabled",)),
    }


def _all_but(name: str, section: Section, left_out: frozenset[str] = frozenset()) -> dict[str, str]:
    """Return every setting of a section: a new one is compared unless it is left out by name."""
    return _of_settings(name, section, sorted(set(type(section).model_fields) - left_out))


def _of_settings(name: str, section: Section, fields: Iterable[str]) -> dict[str, str]:
    values = section.model_dump(mode="json")
    return {f"{name}.{field}": form_of_value(values[field]) for field in fields}


def _points(points: SitePoints, cards: Mapping[str, ModelCard]) -> dict[str, str]:
    """Return the points of each finding, with what decides of them: who chose them, and when, does not."""
    names = {card.model_sha256: name for name, card in cards.items()}
    found = defaultdict[str, list[SitePoint]](list)
    for point in points.points:
        found[
            f"models.operating_points, {names.get(point.model_digest, point.model_digest[:12])} {point.finding}"
        ].append(point)
    return {name: form_of_value([_decisive(each) for each in of]) for name, of in found.items()}


def _decisive(point: SitePoint) -> str:
    """Return a point in one line. Ages may have no end, which JSON has no number for."""
    return " ".join(f"{name}={value}" for name, value in asdict(point).items() if name != "finding")


def _destinations(settings: Settings) -> dict[str, str]:
    """Return the destinations that decided studies are marked for, without their addresses, and paging."""
    enabled = {each.name: "enabled" for each in settings.channels.enabled()}
    return {f"channels, {name}": form for name, form in enabled.items()} | {
        "paging.after_minutes": form_of_value(settings.paging.after_minutes)
    }
