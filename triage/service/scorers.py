"""The scorers of one worker: for patients' objects, for the canary's, and for those that are sent to validate."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from redis import Redis

from triage.adjudication.choice import CaseChooser, ChoiceRules
from triage.delivery.outbox import Outbox
from triage.metrics.worker import WorkerMetrics
from triage.service.destinations import mark_all, prepare_destinations
from triage.service.models import Sessions, policy_of, priority_policy
from triage.service.paging import paging_mark
from triage.settings.schema import Settings
from triage.spool.clock import Clock
from triage.spool.store import Store
from triage.spool.validation_partition import VALIDATION
from triage.worklist.carried_reading import put_with_reading
from triage.worklist.opening import worklist_of

if TYPE_CHECKING:
    from triage.runtime.decode_scheduler import DecodeScheduler
    from triage.scoring.batch import BatchScorer, ScoringResources
    from triage.scoring.decision_outputs import DecisionOutputs
    from triage.scoring.partitioned import PartitionedScorer


def resources_of(
    settings: Settings,
    sessions: Sessions,
    decoders: DecodeScheduler,
    spool: Store,
    on_stuck: Callable[[], object] = lambda: None,
) -> ScoringResources:
    """Return the models and decoders that the scorers of all partitions share; the patients' kill switches hold.

    ``on_stuck`` ends the process where a plug-in's rule does not end. Raises PluginError.
    """
    from triage.scoring.batch import ScoringResources

    titles = settings.listener.calling_ae_titles
    policy = policy_of(settings, {name: session.card for name, session in sessions.items()}, on_stuck=on_stuck)
    return ScoringResources(sessions, decoders, policy, spool.model_switches.disabled, titles)


def choice_rules(settings: Settings) -> ChoiceRules:
    """Return the rules by which studies are chosen to be judged."""
    given = settings.adjudication
    return ChoiceRules(given.random_fraction, given.random_seed, given.uncertain_within)


def scorers_of(
    settings: Settings, resources: ScoringResources, spool: Store, client: Redis, metrics: WorkerMetrics
) -> PartitionedScorer:
    """Return the scorers of all partitions that the settings require."""
    from triage.canary.wiring import canary_at_worker
    from triage.scoring.batch import BatchScorer
    from triage.scoring.decision_outputs import DecisionOutputs
    from triage.scoring.partitioned import PartitionedScorer
    from triage.scoring.study_decisions import DecisionRules

    rules, index = DecisionRules(priority_policy(settings)), worklist_of(spool, client)

    def scorer_of(partition: Store, outputs: DecisionOutputs) -> BatchScorer:
        return BatchScorer(resources, partition, outputs, rules)

    patients = BatchScorer(
        resources,
        spool,
        DecisionOutputs(
            metrics,
            partial(put_with_reading, spool, index),
            _mark(settings, spool),
            index.deciding,
        ),
        replace(
            rules,
            silent=settings.decision.silent,
            clock_in_doubt=Clock(spool).in_doubt,
            choose=CaseChooser(spool, choice_rules(settings), time.time),
        ),
    )
    partitions = canary_at_worker(
        scorer_of,
        spool,
        partial(worklist_of, client=client),
        tuple(each.name for each in settings.channels.with_canary()),
    )
    if settings.listener.validation_ae_title:  # not listed, delivered or counted
        outputs = DecisionOutputs(WorkerMetrics(), index=lambda decisions: None)
        partitions[VALIDATION] = scorer_of(spool.partition(VALIDATION), outputs)
    return PartitionedScorer(patients, partitions)


def _mark(settings: Settings, spool: Store) -> Callable[[str], None]:
    """Return what marks a decided study: for each destination, and for paging."""
    deliver = partial(mark_all, Outbox(spool), prepare_destinations(settings, spool))
    page = paging_mark(settings, spool)

    def mark(study_instance_uid: str) -> None:
        deliver(study_instance_uid)
        page(study_instance_uid)

    return mark
