"""What the spool's writers do, one after the other, in a process that is watched: see ``power_loss``.

What a peer or a person is told goes to standard output in the moment in which they are told it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from tests.support.service import a_chest, receive
from triage.channels.base import Built, DeliveryStatus, SendResult
from triage.channels.sr.settings import SRDestination
from triage.decision.types import PriorityPolicy
from triage.delivery.deliverer import Deliverer
from triage.delivery.outbox import Outbox
from triage.metrics.delivery import DeliveryMetrics
from triage.metrics.worker import WorkerMetrics
from triage.runtime import durable
from triage.runtime.storage import FileSystem
from triage.scoring.assess import AssessmentPolicy
from triage.scoring.batch import BatchScorer, ScoringResources
from triage.scoring.decision_outputs import DecisionOutputs
from triage.scoring.study_decisions import DecisionRules
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.worklist.reader_acts import Act, Marking, Via, mark

DESTINATION = "pacs"
METRICS, DELIVERY_METRICS = WorkerMetrics(), DeliveryMetrics(CollectorRegistry())  # made once: nobody reads them


def said(what: str, *names: str) -> None:
    os.write(1, f"{what} {' '.join(names)}\n".encode())


class Index:
    """An index that takes everything and keeps nothing: Redis has no part in what survives."""

    is_of_store = False

    def read(self, *_: Any) -> None:
        pass

    unread = put_all = read


@dataclass(frozen=True)
class Now:
    """Decodes when it is asked for the result."""

    call: Any

    def result(self) -> Any:
        return self.call()


class Decoders:
    def submit(self, call: Any, cost: Any) -> Now:
        return Now(call)


class Channel:
    """A receiver that takes everything."""

    encoder = "test 1"

    def __init__(self, told: Any) -> None:
        self._told = told

    def wants(self, study: Any) -> bool:
        return True

    def content(self, study: Any) -> list[Any]:
        return [study.decision.tag, list(study.decision.evidence)]

    def build(self, study: Any) -> Built:
        return Built(study.decision.study_instance_uid.encode(), {"id": study.revision})

    @contextmanager
    def connect(self) -> Iterator[Any]:
        def send(payload: bytes) -> SendResult:
            self._told(payload.decode())
            return SendResult(DeliveryStatus.DELIVERED, "0x0000")

        yield send


def scorer(spool: Spool) -> BatchScorer:
    """A scorer without a model: every image is not assessed, which is a decision like any other."""
    outbox = Outbox(spool)
    outbox.prepare([DESTINATION])
    resources = ScoringResources({}, Decoders(), AssessmentPolicy(), spool.model_switches.disabled)  # type: ignore[arg-type]
    outputs = DecisionOutputs(METRICS, lambda decisions: None, lambda study: outbox.mark(study, DESTINATION))
    return BatchScorer(resources, spool, outputs, DecisionRules(PriorityPolicy()))


def score(spool: Spool, instances: Sequence[ReceivedInstance]) -> None:
    scoring = scorer(spool)
    assert scoring.finish(scoring.start(instances)) == []


def deliver(spool: Spool, told: Any) -> None:
    outbox = Outbox(spool)
    outbox.prepare([DESTINATION])
    settings = SRDestination(name=DESTINATION, host="127.0.0.1", port=1, called_ae_title="PACS", delay_s=0.0)
    channel = Channel(told)
    thread = Deliverer(spool, outbox, settings, channel, DELIVERY_METRICS, now=lambda: 4e9)  # type: ignore[arg-type]
    for _ in range(2):  # what a crash left of an earlier result of a study comes first
        thread.build()  # and not both at once, as in a round: what two threads write at once cannot be told apart here
        thread.send()


def run(root: Path) -> None:
    spool = Spool.open(root)
    said("OPEN")

    def arrive(number: int, **subject: Any) -> ReceivedInstance:
        instance = receive(spool, a_chest(number, **subject))
        said("STORED", instance.key)
        return instance

    first = [arrive(1), arrive(1, view="LL"), arrive(2)]
    score(spool, first)
    deliver(spool, lambda study: said("SENT", study))
    one, two = first[0].study_instance_uid, first[2].study_instance_uid
    mark(spool, Index(), one, Marking(Act.READ, 1.0, "a", Via.PAGE))  # type: ignore[arg-type]
    said("READ", one)
    late = arrive(1, age="060Y")
    scorer(spool).give_up(late, "error", 3)
    said("BURIED", late.key)
    spool.requeue(late)
    score(spool, [late])
    arrive(1)  # once more: it is there already
    deliver(spool, lambda study: said("SENT", study))
    spool.model_switches.set_disabled("some-model", True)
    said("SWITCHED", "some-model")
    said("REMOVING", two)
    with spool.study_lock(two):
        spool.remove_study(two)


if __name__ == "__main__":
    synced_whole = sys.argv[2] == "whole"
    # What the disk below the test can do is not what is tried here: the calls are recorded, and believed.
    system = FileSystem("a file system", syncs_whole=synced_whole)
    durable.file_system_of = lambda folder: system
    Spool.file_system = property(lambda self: system)  # type: ignore[assignment]
    run(Path(sys.argv[1]))
