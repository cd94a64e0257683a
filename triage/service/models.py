"""From the settings to loaded models and to the policies of assessment and priority."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from triage.decision.types import PriorityPolicy
from triage.metrics.labels import ModelState
from triage.radiograph.policy import EligibilityPolicy
from triage.radiograph.vocabulary import SiteWords
from triage.scoring.assess import Policy
from triage.settings.schema import Settings
from triage.settings.sections import EligibilitySettings, ModelSettings
from triage.spool.spool import Spool


def load_sessions(settings: Settings, stuck: Callable[[], object] | None = None) -> dict[str, Any]:
    """The models of the settings, loaded and warm. Raises StartError for one that must not be used.

    ``stuck`` is called when a run of one cannot be stopped, and has to end the process.
    """
    from triage.model.calibration import check_prevalence
    from triage.model.installed import installed, models_folder
    from triage.model.session import Session

    folder = models_folder(settings.models.path)
    cards = installed(folder, settings.models.names, registry_policy(settings.models))
    check_prevalence(cards, settings.models.prevalence_by_name)
    sessions = {
        name: Session(
            folder / name,
            card,
            provider=settings.worker.provider,
            threads=settings.worker.threads,
            maps=settings.keeps_activation_maps,
            deadline_s=settings.worker.score_timeout_s,
            stuck=stuck,
        )
        for name, card in cards.items()
    }
    for session in sessions.values():
        session.warm()
    return sessions


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


def model_state(name: str, models: ModelSettings, spool: Spool) -> ModelState:
    if name in spool.model_switches.disabled():
        return ModelState.DISABLED
    return ModelState.SHADOW if name in models.shadow else ModelState.ENABLED


def policy_of(settings: Settings) -> Policy:
    """What the settings say about images, models and the operating point."""
    return Policy(
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
