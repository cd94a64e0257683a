"""Loaded models, and the rules of assessment and priority, from the settings."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from triage.decision.types import PriorityPolicy
from triage.metrics.labels import ModelState
from triage.radiograph.policy import EligibilityPolicy
from triage.radiograph.vocabulary import SiteWords
from triage.scoring.assess import AssessmentPolicy
from triage.scoring.finding_scores import FindingPolicy
from triage.settings.schema import Settings
from triage.settings.sections.eligibility import EligibilitySettings
from triage.settings.sections.models import ModelSettings
from triage.spool.spool import Spool

if TYPE_CHECKING:
    from triage.model.card import ModelCard
    from triage.model.registry import RegistryPolicy
    from triage.model.session import ScoringSession

logger = logging.getLogger(__name__)


Sessions = dict[str, "ScoringSession"]
"""Models by name: a ModelSession, or a NotLoaded in its place."""


def load_sessions(settings: Settings, on_stuck: Callable[[], object] = lambda: None) -> Sessions:
    """Load and warm the models of the settings.

    A model whose loading or first run does not end is stopped and replaced by a NotLoaded; the others go on.

    Args:
        settings: All settings.
        on_stuck: Called when a run cannot be stopped; has to end the process.

    Raises:
        StartError: A model must not be used.
    """
    from triage.model.calibration import check_prevalence
    from triage.model.installed import installed, models_folder
    from triage.model.urgencies import check_urgencies, in_service

    folder = models_folder(settings.models.path)
    cards = installed(folder, settings.models.names, registry_policy(settings.models))
    check_prevalence(cards, settings.models.prevalence_by_name)
    check_urgencies(in_service(cards, settings.models.shadow), settings.decision.urgency_table)
    return {name: _load(settings, folder / name, card, on_stuck) for name, card in cards.items()}


def _load(settings: Settings, folder: Path, card: ModelCard, on_stuck: Callable[[], object]) -> ScoringSession:
    from triage.model.run_deadline import RunLimit
    from triage.model.session import ModelSession, NotLoaded, check_loads
    from triage.model.trial_load import NotLoadedError

    worker = settings.worker
    try:
        check_loads(folder, card, worker.provider, worker.threads, worker.load_timeout_s)
        session = ModelSession(
            folder,
            card,
            provider=worker.provider,
            threads=worker.threads,
            maps=settings.keeps_activation_maps,
            limit=RunLimit(worker.score_timeout_s, on_stuck),
        )
        session.warm()
        return session
    except NotLoadedError as error:
        logger.error("the model %s: its images are NOT_ASSESSED until it is repaired and work starts again", error)
        return NotLoaded(card, error.why)


def not_loaded(sessions: Sessions) -> frozenset[str]:
    """Return the names of the models that could not be loaded."""
    return frozenset(load_failures(sessions))


def load_failures(sessions: Sessions) -> dict[str, str]:
    """Return why models could not be loaded, by their names."""
    from triage.model.session import NotLoaded

    return {name: session.why for name, session in sessions.items() if isinstance(session, NotLoaded)}


def registry_policy(settings: ModelSettings) -> RegistryPolicy:
    """Return the site's rules for its models; the kill switches come from the spool."""
    from triage.model.registry import RegistryPolicy

    return RegistryPolicy(
        shadow=frozenset(settings.shadow),
        adult_when_age_unknown=settings.adult_when_age_unknown,
        allow_demo=settings.allow_demo,
    )


def priority_policy(settings: Settings) -> PriorityPolicy:
    """Return the site's rules from tag to priority."""
    decision = settings.decision
    return PriorityPolicy(
        decision.baseline_priority, decision.lower_normal, decision.prior_after_days, decision.urgency_table
    )


def model_state(name: str, models: ModelSettings, spool: Spool, missing: frozenset[str] = frozenset()) -> ModelState:
    """Return the present state of the model ``name``; ``missing`` are those that could not be loaded."""
    if name in missing:
        return ModelState.NOT_LOADED
    if name in spool.model_switches.disabled():
        return ModelState.DISABLED
    return ModelState.SHADOW if name in models.shadow else ModelState.ENABLED


def policy_of(settings: Settings) -> AssessmentPolicy:
    """Return the site's rules for images, models and the operating point."""
    return AssessmentPolicy(
        _eligibility_policy(settings.eligibility),
        registry_policy(settings.models),
        FindingPolicy(settings.models.operating_point, prevalence=settings.models.prevalence_by_name),
    )


def _eligibility_policy(settings: EligibilitySettings) -> EligibilityPolicy:
    words = SiteWords(
        chest=settings.chest_words,
        other_part=settings.other_part_words,
        lateral=settings.lateral_words,
        doubtful_view=settings.doubtful_view_words,
        ignored=settings.ignored_words,
    )
    return EligibilityPolicy(
        frozenset(settings.frontal_ae_titles),
        settings.frontal_descriptions,
        frozenset(settings.chest_ae_titles),
        words,
    )
