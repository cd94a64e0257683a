"""From the settings to loaded models and to the policies of assessment and priority."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triage.decision.types import PriorityPolicy
from triage.metrics.labels import ModelState
from triage.radiograph.policy import EligibilityPolicy
from triage.radiograph.vocabulary import SiteWords
from triage.scoring.assess import AssessmentPolicy
from triage.settings.schema import Settings
from triage.settings.sections import EligibilitySettings, ModelSettings
from triage.spool.spool import Spool

if TYPE_CHECKING:
    from triage.model.card import ModelCard
    from triage.model.session import ScoringSession

logger = logging.getLogger(__name__)


def load_sessions(settings: Settings, on_stuck: Callable[[], object] = lambda: None) -> dict[str, ScoringSession]:
    """The models of the settings, loaded and warm. Raises StartError for one that must not be used.

    One whose loading or first run does not end is stopped, and a NotLoaded stands for it: the others go on.
    ``on_stuck`` is called when a run of one cannot be stopped, and has to end the process.
    """
    from triage.model.calibration import check_prevalence
    from triage.model.installed import installed, models_folder

    folder = models_folder(settings.models.path)
    cards = installed(folder, settings.models.names, registry_policy(settings.models))
    check_prevalence(cards, settings.models.prevalence_by_name)
    return {name: _loaded(settings, folder / name, card, on_stuck) for name, card in cards.items()}


def _loaded(settings: Settings, folder: Path, card: ModelCard, on_stuck: Callable[[], object]) -> ScoringSession:
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
        logger.error("the model %s: its images are NOT_ASSESSED until it is mended and work starts again", error)
        return NotLoaded(card, error.why)


def not_loaded(sessions: Mapping[str, ScoringSession]) -> frozenset[str]:
    """The names of those that could not be loaded."""
    from triage.model.session import NotLoaded

    return frozenset(name for name, session in sessions.items() if isinstance(session, NotLoaded))


def registry_policy(settings: ModelSettings) -> Any:
    """What the site decided about its models; the kill switches come from the spool."""
    from triage.model.registry import RegistryPolicy

    return RegistryPolicy(
        shadow=frozenset(settings.shadow),
        adult_when_age_unknown=settings.adult_when_age_unknown,
        allow_demo=settings.allow_demo,
    )


def priority_policy(settings: Settings) -> PriorityPolicy:
    """How the site turns a tag into a priority."""
    decision = settings.decision
    return PriorityPolicy(decision.baseline_priority, decision.lower_normal, decision.prior_after_days)


def model_state(name: str, models: ModelSettings, spool: Spool, missing: frozenset[str] = frozenset()) -> ModelState:
    """What holds for the model ``name`` now; ``missing`` could not be loaded."""
    if name in missing:
        return ModelState.NOT_LOADED
    if name in spool.model_switches.disabled():
        return ModelState.DISABLED
    return ModelState.SHADOW if name in models.shadow else ModelState.ENABLED


def policy_of(settings: Settings) -> AssessmentPolicy:
    """What the settings say about images, models and the operating point."""
    return AssessmentPolicy(
        _eligibility_policy(settings.eligibility),
        registry_policy(settings.models),
        settings.models.operating_point,
        settings.models.prevalence_by_name,
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
