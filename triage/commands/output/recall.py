"""A recall, study by study: listed, scored again, or corrected. No line names a patient."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from redis import Redis

from triage.commands.base import audit, redis_errors, redis_url
from triage.delivery.record import DeliveryRecord
from triage.errors import cause
from triage.operations.one_study import UNREADABLE
from triage.operations.recall import ImageState, RecalledStudy, RecallScope, recalled_studies
from triage.operations.recall_corrections import Correcting, CorrectionAct, CorrectionOutcome, correct
from triage.operations.recall_scoring import score_again, wait_for_room
from triage.operations.visible import visible
from triage.queue.score_queue import connect
from triage.security.audit_message import AuditOutcome, CodedValue, Participant, intent
from triage.security.audit_trail import CORRECTED, RECALLED, AuditTrail, note_act, operator
from triage.settings.schema import Settings
from triage.spool.store import Store

logger = logging.getLogger(__name__)


def recall_run(settings: Settings, spool: Store, scope: RecallScope) -> RecallRun:
    """Return the run of one command."""
    return RecallRun(settings, spool, scope)


@dataclass(frozen=True)
class RecallRun:
    """One run over all studies of a scope."""

    settings: Settings
    spool: Store
    scope: RecallScope
    counts: Counter[str] = field(default_factory=Counter)

    def show(self) -> None:
        """Print every study, and what an act would do. Nothing is changed."""
        for study in self._studies():
            sys.stdout.writelines(f"{line}\n" for line in lines_of(study))
        self._total()
        sys.stdout.write("nothing was changed: --score-again scores anew, --send-corrections corrects\n")

    def score_again(self) -> None:
        """Put the recalled objects back into the inbox."""
        gone = 0
        with redis_errors(), connect(redis_url(self.settings), self.settings.redis.timeout_s) as client:
            for study in self._studies():
                for each in study.images:
                    if each.state is ImageState.GONE:
                        gone += 1
                        sys.stdout.write(f"{study.study_instance_uid}  not possible: {each.instance.key} is not kept\n")
                if study.count(ImageState.STANDS):
                    with self._act(study, RECALLED, operator()):
                        self._again(client, study)
        self._total()
        if gone:
            sys.stdout.write(f"{gone} objects are not kept: --send-corrections withdraws what was said of them\n")

    def _again(self, client: Redis, study: RecalledStudy) -> None:
        wait_for_room(self.spool)
        moved = score_again(self.spool, client, study.study_instance_uid, self.scope, time.time())
        self.counts["objects queued again"] += moved

    def send_corrections(self, by: str, reason: str, at: float) -> None:
        """Correct what was delivered, as the act of a person."""
        enabled = tuple(each.name for each in self.settings.channels.enabled())
        act = CorrectionAct(by, reason, operator().name, at)
        with redis_errors(), connect(redis_url(self.settings), self.settings.redis.timeout_s) as client:
            correcting = Correcting(self.spool, enabled, partial(_redecide, self.settings, self.spool, client))
            for study in self._studies():
                with self._act(study, CORRECTED, Participant(by, alternative_id=act.account)):
                    outcome = correct(correcting, study.study_instance_uid, self.scope, act)
                    self._corrected(study, outcome, enabled)
        self._total()

    def _corrected(self, study: RecalledStudy, outcome: CorrectionOutcome, enabled: tuple[str, ...]) -> None:
        self.counts[outcome] += 1
        sys.stdout.write(f"{study.study_instance_uid}  {outcome}\n")
        for name in sorted({each.destination for each in study.deliveries} - set(enabled)):
            if outcome in (CorrectionOutcome.CORRECTED, CorrectionOutcome.ALREADY):
                sys.stdout.write(f"  {name} was told and is not switched on in the settings: it is not corrected\n")

    def _studies(self) -> Iterator[RecalledStudy]:
        """Yield the studies; an interruption ends the run between two of them, or in one that is done again."""
        try:
            for study in recalled_studies(self.spool, self.scope):
                self.counts["studies"] += 1
                yield study
        except KeyboardInterrupt:
            self._total()
            sys.stdout.write("interrupted: the same command goes on where it was\n")
            raise

    @contextmanager
    def _act(self, study: RecalledStudy, act: CodedValue, by: Participant) -> Iterator[None]:
        """Do something to one study between its two lines of audit. A study that cannot be changed stops no other."""
        uid = study.study_instance_uid
        self._note(partial(note_act, spool=self.spool, study=uid, act=intent(act), by=by))
        try:
            yield
        except UNREADABLE as error:
            self.counts["failed"] += 1
            logger.error("recall: study %s: %s", uid, cause(error))
            self._note(
                partial(note_act, spool=self.spool, study=uid, act=act, by=by, outcome=AuditOutcome.MINOR_FAILURE)
            )
        else:
            self._note(partial(note_act, spool=self.spool, study=uid, act=act, by=by))

    def _note(self, note: Callable[[AuditTrail], object]) -> None:
        audit(self.settings, "triage recall", note)

    def _total(self) -> None:
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        sys.stdout.write(f"{counts or 'nothing was found'}\n")


def lines_of(study: RecalledStudy) -> Iterator[str]:
    """Yield what was said of a study, what is said now, what was delivered where, and whether it was read."""
    said, now = (f"{each.tag}, {each.urgency}" for each in (study.said, study.now))
    changed = f"; now {now}" if said != now else ""
    yield f"{study.study_instance_uid}  {said}{changed}; {'read' if study.read else 'unread'}; {_states(study)}"
    for record in study.deliveries:
        yield f"  {record.destination} {record.number}: {_delivery(record)}"
    for act in study.corrections:
        yield f"  {visible(act.sentence)}"


def _states(study: RecalledStudy) -> str:
    words = {
        ImageState.STANDS: "to be scored again",
        ImageState.GONE: "not kept",
        ImageState.WAITING: "waiting",
        ImageState.RENEWED: "scored again or withdrawn",
    }
    return ", ".join(f"{count} {words[state]}" for state in ImageState if (count := study.count(state)))


def _delivery(record: DeliveryRecord) -> str:
    urgency = f", {record.told_urgency}"
    return f"{record.tag}{urgency}, {record.state}{', a correction' if record.correction else ''}"


def _redecide(settings: Settings, spool: Store, client: Redis, study_instance_uid: str) -> None:
    """Decide a study anew and list it, as a worker does."""
    from triage.delivery.outbox import Outbox
    from triage.scoring.study_decisions import DecisionRules, StudyDecider, StudyErrors
    from triage.service.destinations import mark_all, prepare_destinations
    from triage.service.models import priority_policy
    from triage.spool.clock import Clock
    from triage.worklist.carried_reading import put_with_reading
    from triage.worklist.opening import worklist_of

    rules = DecisionRules(priority_policy(settings), settings.decision.silent, Clock(spool).in_doubt)
    mark, index = partial(mark_all, Outbox(spool), prepare_destinations(settings, spool)), worklist_of(spool, client)
    decider = StudyDecider(spool, rules, mark)
    errors, decided = StudyErrors(spool), index.deciding([study_instance_uid])
    with spool.batch() as batch:
        decisions = decider.decide_all([study_instance_uid], errors, decided)
        if errors.by_study:
            raise ValueError(errors.by_study[study_instance_uid])
        batch.settle()
    put_with_reading(spool, index, list(decisions.values()))
