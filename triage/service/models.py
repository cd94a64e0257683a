"""Loaded models, and the rules of assessment and priority, from the settings."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from triage.decision.types import PriorityPolicy
from triage.metrics.labels import ModelState
from triage.radiograph.policy import EligibilityPolicy
from triage.radiograph.vocabulary import SiteWords
from triage.runtime.lasting_thread import lasting_thread, unless
from triage.scoring.assess import AssessmentPolicy
from triage.scoring.finding_scores import FindingPolicy
from triage.service.operating_points import points_file, watched_points
from triage.service.plugins import model_loaders, rules
from triage.service.store import store_address
from triage.settings.schema import Settings
from triage.settings.sections.eligibility import EligibilitySettings
from triage.settings.sections.models import ModelSettings
from triage.settings.sections.open_inference import OpenInferenceSettings
from triage.spool.errors import SpoolError
from triage.spool.store import Store

if TYPE_CHECKING:
    from triage.model.card import ModelCard
    from triage.model.registry import RegistryPolicy
    from triage.model.remote_folder import RemoteAccess
    from triage.model.remote_session import CheckOutcome
    from triage.model.run_deadline import RunLimit
    from triage.model.session import ScoringSession
    from triage.model.versions import RegistryHistory
    from triage.plugins.load import LoadedPlugin
    from triage.spool.open_store import StoreAddress

logger = logging.getLogger(__name__)


Sessions = dict[str, "ScoringSession"]
"""Models by name: a ModelSession, or a NotLoaded in its place, or the RemoteSession of one that lives at a server."""


def load_sessions(
    settings: Settings,
    on_stuck: Callable[[], object] = lambda: None,
    observe_check: Callable[[str, CheckOutcome], object] = lambda name, outcome: None,
) -> Sessions:
    """Load and warm the models of the settings, and ask servers for the known answers of those that live there.

    A model whose loading or first run does not end is stopped and replaced by a NotLoaded; the others go on. So they do
    without a server; ``keep_checking`` asks it again.

    Args:
        settings: All settings.
        on_stuck: Called when a run cannot be stopped; has to end the process.
        observe_check: Called with the model's name and the outcome of each check of known answers.

    Raises:
        StartError: A model must not be used.
    """
    from triage.model.backend import OpenInferenceBackend
    from triage.model.calibration import check_prevalence
    from triage.model.installed import installed, models_folder
    from triage.model.run_deadline import RunLimit
    from triage.model.serving_range import holes
    from triage.model.urgencies import check_urgencies, in_service
    from triage.scoring.plugin_rules import check_rules

    policy = registry_policy(settings.models, registry_history(settings))
    found = installed(models_folder(settings.models.path), settings.models.names, policy)
    cards, folders = found.cards, found.folders
    for hole in holes(in_service(cards, settings.models.shadow)):
        logger.info("not served: %s", hole)
    check_prevalence(cards, settings.models.prevalence_by_name)
    check_urgencies(in_service(cards, settings.models.shadow), settings.decision.urgency_table)
    points_file(settings.models, cards)
    check_rules(cards.values(), rules(settings.plugins))
    loaders, limit_s = model_loaders(settings.plugins), settings.worker.score_timeout_s
    return {
        name: _open_remote(settings, folders[name], card, partial(observe_check, name))
        if isinstance(card.backend, OpenInferenceBackend)
        else _or_not_loaded(card, partial(_load, settings, folders[name], card, loaders, RunLimit(limit_s, on_stuck)))
        for name, card in cards.items()
    }


def remote_access(settings: OpenInferenceSettings) -> dict[str, RemoteAccess]:
    """Return how to reach the servers of models, by the names of their folders."""
    from triage.dicom.tls import ClientTLS
    from triage.model.remote_folder import RemoteAccess
    from triage.model.remote_session import CheckTimes

    times = CheckTimes(settings.check_interval_s, settings.patience_s)
    files = (settings.tls_ca_file, settings.tls_certificate, settings.tls_key)
    return {
        name: RemoteAccess(
            address,
            settings.timeout_s,
            ClientTLS(urlsplit(address).hostname or "", *files) if address.startswith("https:") else None,
            times,
        )
        for name, address in settings.address_by_name.items()
    }


def keep_checking(sessions: Sessions) -> None:
    """Ask the servers of models for the known answers from now on, in a thread for each, until the process ends."""
    from triage.model.remote_session import RemoteSession

    for name, session in sessions.items():
        if isinstance(session, RemoteSession):
            watch = partial(session.watch, never := threading.Event())
            lasting_thread(f"known answers of {name}", watch, unless(never)).start()


def _open_remote(
    settings: Settings, folder: Path, card: ModelCard, observe: Callable[[CheckOutcome], object]
) -> ScoringSession:
    from triage.model.remote_folder import open_remote

    session = open_remote(folder, card, remote_access(settings.open_inference).get(card.name), observe)
    session.check()
    return session


def _load(
    settings: Settings, folder: Path, card: ModelCard, loaders: Mapping[str, LoadedPlugin], limit: RunLimit
) -> ScoringSession:
    """Load a model of this machine. Raises NotLoadedError if that does not end."""
    from triage.model.backend import PluginBackend
    from triage.model.plugin_session import open_plugin_model
    from triage.model.session import ModelSession, check_loads
    from triage.plugins.statement import key_of

    worker = settings.worker
    if isinstance(card.backend, PluginBackend):
        loader = loaders.get(key_of(card.backend.loader))
        return open_plugin_model(folder, card, loader, worker.load_timeout_s, limit)
    check_loads(folder, card, worker.provider, worker.threads, worker.load_timeout_s)
    session = ModelSession(
        folder,
        card,
        provider=worker.provider,
        threads=worker.threads,
        maps=settings.keeps_activation_maps,
        limit=limit,
    )
    session.warm()
    return session


def _or_not_loaded(card: ModelCard, load: Callable[[], ScoringSession]) -> ScoringSession:
    from triage.model.session import NotLoaded
    from triage.model.trial_load import NotLoadedError

    try:
        return load()
    except NotLoadedError as error:
        logger.error("the model %s: its images are NOT_ASSESSED until it is repaired and work starts again", error)
        return NotLoaded(card, error.why)


def load_failures(sessions: Sessions) -> dict[str, str]:
    """Return why models could not be loaded, or are out of service at their server, by their names."""
    return {name: why for name, session in sessions.items() if (why := _why_out(session))}


def _why_out(session: ScoringSession) -> str:
    from triage.model.remote_session import RemoteSession
    from triage.model.session import NotLoaded

    if isinstance(session, NotLoaded):
        return session.why
    return session.why_out if isinstance(session, RemoteSession) else ""


def registry_history(settings: Settings) -> RegistryHistory:
    """Return what persons decided about versions of models; none without a store. Raises StartError."""
    from triage.model.registry_file import REGISTRY_PLACE, RegistryFileError, read_registry
    from triage.model.versions import RegistryHistory
    from triage.spool.open_store import store_at

    address = store_address(settings)
    try:
        return read_registry(store_at(address).entries(REGISTRY_PLACE))
    except RegistryFileError:
        if _has_no_tables(address):  # those of a new site: the first process makes them
            return RegistryHistory([])
        raise


def _has_no_tables(address: StoreAddress) -> bool:
    """Return whether this is a database that answers, and has no tables of ours yet."""
    from triage.spool.open_store import schema_of

    try:
        return not isinstance(address, Path) and not schema_of(address).revision
    except (OSError, SpoolError):
        return False


def registry_policy(settings: ModelSettings, history: RegistryHistory | None = None) -> RegistryPolicy:
    """Return the site's rules for its models; the kill switches come from the spool."""
    from triage.model.registry import RegistryPolicy
    from triage.model.serving_range import ServingRange
    from triage.model.versions import RegistryHistory

    return RegistryPolicy(
        serve={
            each.model: ServingRange(each.views, each.stations, each.age_from, each.age_below)
            for each in settings.serve
        },
        history=history or RegistryHistory(),
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


def model_state(name: str, models: ModelSettings, spool: Store, session: ScoringSession) -> ModelState:
    """Return the present state of the model ``name``."""
    from triage.model.session import NotLoaded

    if isinstance(session, NotLoaded):
        return ModelState.NOT_LOADED
    if _why_out(session):
        return ModelState.OUT
    if name in spool.model_switches.disabled():
        return ModelState.DISABLED
    return ModelState.SHADOW if name in models.shadow else ModelState.ENABLED


def policy_of(
    settings: Settings,
    cards: Mapping[str, ModelCard],
    *,
    every: bool = True,
    on_stuck: Callable[[], object] = lambda: None,
) -> AssessmentPolicy:
    """Return the site's rules for images, models and operating points, with the combination rules of plug-ins.

    Args:
        settings: All settings.
        cards: The cards of the loaded models by name.
        every: These are all models of the site, so that an operating point of another one is a mistake.
        on_stuck: Called if a plug-in's rule does not end.

    Raises:
        StartError: The file of operating points cannot be used, or a plug-in.
    """
    return AssessmentPolicy(
        _eligibility_policy(settings.eligibility),
        registry_policy(settings.models),
        FindingPolicy(
            settings.models.operating_point,
            watched_points(points_file(settings.models, cards, every=every), time.time()),
            settings.models.prevalence_by_name,
            rules(settings.plugins, on_stuck),
        ),
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
        frozenset(settings.rejection_ae_titles),
    )
