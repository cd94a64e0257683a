"""Studies of which a destination was told, and whose result is another since: what a correction starts from."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from tests.support.studies import a_study, settle
from triage.channels.base import Channel
from triage.channels.registry import channel_of
from triage.channels.settings import Destination
from triage.decision.correction import correction_of
from triage.decision.records import assessment_from, decision_from, to_record
from triage.decision.types import Tag
from triage.delivery.build import Builder, BuildResult, build_if_changed
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryRecord
from triage.spool.instance import ReceivedInstance
from triage.spool.recall_file import add_correction
from triage.spool.spool import Spool


@dataclass(frozen=True)
class Told:
    """One study at one destination, which takes every message at once."""

    spool: Spool
    name: str
    channel: Channel
    study: str

    @property
    def outbox(self) -> Outbox:
        return Outbox(self.spool)

    def build(self, later_s: float = 0.0) -> BuildResult:
        self.outbox.mark(self.study, self.name)
        builder = Builder(self.spool, self.outbox, self.name, self.channel)
        return build_if_changed(builder, self.study, time.time() + later_s)

    def deliver(self, later_s: float = 0.0) -> bytes:
        """Build, so many seconds from now, and deliver; the bytes, empty if there were none."""
        self.build(later_s)
        payload = b""
        for item in self.outbox.waiting(self.name):
            payload = self.outbox.payload(item)
            self.outbox.delivered(item, "taken", time.time())
        return payload

    def records(self) -> list[DeliveryRecord]:
        return self.outbox.records(self.study, self.name)

    def find(self, tag: Tag, probability: float | None = None, **changes: Any) -> None:
        """The study's images were scored again."""
        for record in self.spool.assessments(self.study):
            found = replace(assessment_from(record), tag=tag, probability=probability, **changes)
            instance = ReceivedInstance(self.study, found.sop_instance_uid, found.content_digest)
            self.spool.write_assessment(instance, to_record(found))
        settle(self.spool, self.study, self.name)

    def correct(self, by: str = "A. Person", reason: str = "a bad model") -> bool:
        record = self.spool.decision(self.study)
        assert record is not None
        told = {self.name: max((each.number for each in self.records()), default=0)}
        with self.spool.study_lock(self.study):
            act = correction_of(decision_from(record), by, reason, 1_800_000_000.0, told)
            return add_correction(self.spool, self.study, act)


def told(spool: Spool, destination: Destination, tag: Tag = Tag.ABNORMAL) -> Told:
    """A study that the destination was told of."""
    study = a_study(spool, destination.name, tag=tag)
    found = Told(spool, destination.name, channel_of(destination), study)
    assert found.deliver()
    return found
