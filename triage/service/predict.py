"""`triage predict`: score files as the service would, without it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from triage.service.models import policy_of, registry_history, registry_policy, remote_access
from triage.service.plugins import model_loaders
from triage.service.store import store_address
from triage.settings.schema import Settings
from triage.spool.open_store import store_at

if TYPE_CHECKING:
    from triage.scoring.predict import Compute, PredictionRecord


def compute_of(settings: Settings) -> Compute:
    """Return the resources to score files with, and the ways to models of servers and of plug-ins."""
    from triage.scoring.predict import Compute

    worker = settings.worker
    return Compute(
        worker.provider,
        worker.threads,
        worker.decode_processes,
        worker.decode_timeout_s,
        worker.load_timeout_s,
        remote_access(settings.open_inference),
        model_loaders(settings.plugins),
    )


def predictions(settings: Settings, files: list[Path], model: Path | None) -> Iterator[PredictionRecord]:
    """Yield one JSON object for each file, in order, with the result that the service would give."""
    from triage.model.installed import models_folder
    from triage.scoring.predict import LoadedModels, predict

    ours = settings.models
    models = (
        LoadedModels.only(model)
        if model
        else LoadedModels.installed(
            models_folder(ours.path), ours.names, registry_policy(ours, registry_history(settings))
        )
    )
    policy = policy_of(settings, models.cards, every=model is None)
    compute = compute_of(settings)
    spool = store_at(store_address(settings))
    if spool.exists():  # a model that a person has switched off scores nothing here either
        policy = replace(policy, registry=replace(policy.registry, disabled=spool.model_switches.disabled()))
    return predict(files, models, policy, compute)
