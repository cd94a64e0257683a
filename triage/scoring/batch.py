"""A batch of received objects, from their files to the decisions of their studies: the worker's work without the queue.

The order is what makes a crash harmless: assessment, decision, index, and only then out of the inbox.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO

from triage.decision.reasons import Reason
from triage.decision.records import to_record
from triage.decision.types import ImageAssessment, TriageDecision
from triage.dicom.byte_source import Openable
from triage.dicom.data_set import read_header
from triage.dicom.part10 import Receipt, data_set_digest, read_receipt, receipt_in
from triage.errors import TriageError, cause
from triage.model.session import ScoringSession
from triage.queue.names import Delay
from triage.radiograph.attributes import read_attributes
from triage.radiograph.types import Attributes, Rejected, View
from triage.runtime.decode_scheduler import DecodeScheduler, ScheduledDecode
from triage.runtime.log_context import about
from triage.runtime.logs import where_raised
from triage.scoring.assess import AssessmentPolicy, PreparedImage, prepare
from triage.scoring.assessment import to_assessment
from triage.scoring.decision_outputs import DecisionOutputs
from triage.scoring.decode_context import DecodeContext
from triage.scoring.decode_cost import estimate_cost
from triage.scoring.inference import BatchInference, FailedImage
from triage.scoring.rejection_log import log_note
from triage.scoring.study_decisions import DecisionRules, StudyDecider, StudyErrors, log_decision
from triage.spool.instance import ReceivedInstance
from triage.spool.recall_file import was_scored_again
from triage.spool.receipts import by_store_clock
from triage.spool.store import Batch, Store
from triage.spool.stored_object import StoredObject

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenedFile:
    """One file as the decode process returns it. It is small: the model inputs, and not the pixels."""

    prepared: PreparedImage
    receipt: Receipt


StartedFiles = list[tuple[ReceivedInstance, ScheduledDecode[OpenedFile]]]
Assessments = list[tuple[ReceivedInstance, ImageAssessment]]


@dataclass(frozen=True)
class FailedInstance:
    """One object that could not be worked on now; ``error`` names no patient.

    ``delay``: it waits for its study or for its bytes, and nothing else is said against it; None for other failures.
    """

    instance: ReceivedInstance
    error: str
    delay: Delay | None = None


@dataclass
class ScoredFiles:
    """Objects that were scored and not written yet.

    ``unfinished``: what some models found on objects that another one has yet to score. ``endless``: images whose run
    does not end.
    """

    assessments: Assessments = field(default_factory=list)
    unfinished: Assessments = field(default_factory=list)
    endless: list[tuple[ReceivedInstance, FailedImage]] = field(default_factory=list)
    failed: list[FailedInstance] = field(default_factory=list)


_NEW_S = 600.0
"""Seconds for which the bytes of a received object are taken to be in the system's memory still."""
_TOO_LARGE = "it needs more memory than one image may (worker.decode_memory_bytes)"


class OpenError(TriageError):
    """A stored object could not be opened. The message has the error and its place, without values of the object."""


class UnreadError(OpenError):
    """The place of the objects did not give an object's bytes, or gave others than were received."""


@dataclass(frozen=True)
class ScoringResources:
    """Resources that all partitions of a worker share.

    ``disabled`` returns the names of the models that a person has switched off. ``calling_ae_titles``: the senders that
    metrics may name.
    """

    sessions: Mapping[str, ScoringSession]
    decoders: DecodeScheduler
    policy: AssessmentPolicy
    disabled: Callable[[], frozenset[str]]
    calling_ae_titles: Collection[str] = ()


def open_file(stored: StoredObject, context: DecodeContext, digest: str) -> OpenedFile:
    """Read and prepare one stored object; runs in a decode process. Raises FileNotFoundError and OpenError.

    ``digest``: the SHA-256 of the data set that was received, which its bytes must have; empty for no comparison.
    """
    data = _read_whole(stored)  # once, and the receipt from the same bytes
    try:
        receipt = by_store_clock(receipt_in(data, stored.name), stored)
        _compare(data, digest)
        cards, policy = context.opened()
        prepared = prepare(data, cards, policy, calling_ae_title=receipt.calling_ae_title)
    except OpenError:
        raise
    except MemoryError:
        raise OpenError(_TOO_LARGE) from None
    except Exception as error:  # the edge: the text of a library's error may quote the patient
        raise OpenError(where_raised(error)) from None
    return OpenedFile(prepared, receipt)


def _compare(data: bytes, digest: str) -> None:
    if digest and data_set_digest(data) != digest:
        raise UnreadError("its bytes are not those that were received: the disk, the bucket or the way altered them")


def _digest_to_compare(stored: StoredObject, instance: ReceivedInstance) -> str:
    """Return the digest that the bytes must have; empty for an object that came just now.

    Its bytes come out of memory, or a store compares them; older ones lay on a disk, which may have altered them. That
    a bucket's row has a SHA-256 of the whole is not enough: where a spool was moved into it, it is that of the bytes
    that the disk had then.
    """
    try:
        is_new = abs(time.time() - stored.received_at()) < _NEW_S
    except OSError:
        is_new = False
    return "" if is_new else instance.content_digest


def _read_whole(stored: Openable) -> bytes:
    """Return the bytes of an object. Raises FileNotFoundError for one that has moved, and OpenError."""
    try:
        return stored.read_bytes()
    except FileNotFoundError:
        raise
    except MemoryError:
        raise OpenError(_TOO_LARGE) from None
    except OSError as error:
        raise UnreadError(f"it cannot be read from the store: {cause(error)}") from None


class BatchScorer:
    """Score batches of received objects of one partition of the spool."""

    def __init__(
        self, resources: ScoringResources, spool: Store, outputs: DecisionOutputs, rules: DecisionRules
    ) -> None:
        self._resources = resources
        self._spool = spool
        self._outputs = outputs
        self._contexts: dict[frozenset[str], DecodeContext] = {}
        self._inference = BatchInference(resources.sessions, resources.policy, outputs.metrics.batch_size.observe)
        self._decider = StudyDecider(spool, rules, outputs.mark)

    def gives_objects(self) -> bool:
        """Return whether the place of the objects answers, so that a failure is one of the object."""
        return self._spool.gives_objects()

    def start(self, instances: Iterable[ReceivedInstance]) -> StartedFiles:
        """Begin to decode; returns at once. Objects that are no longer in the inbox are done, and left out."""
        context = self._context_now()
        started: StartedFiles = []
        for instance in [each for each in instances if self._spool.waits(each)]:
            stored = self._spool.waiting_object(instance)
            call = partial(open_file, stored, context, _digest_to_compare(stored, instance))
            started.append((instance, self._resources.decoders.submit(call, estimate_cost(stored))))
        return started

    def finish(self, started: StartedFiles) -> list[FailedInstance]:
        """Score the started objects, write what was found, and return those that failed; raises as ``settle``."""
        return self.settle(self.score(started))

    def score(self, started: StartedFiles) -> ScoredFiles:
        """Wait for the started objects and score them. Nothing is written: the objects stay in the inbox."""
        scored = ScoredFiles()
        opened, scored.failed = self._opened(started)
        results = self._inference.run([file.prepared for _, file in opened], self._resources.disabled())
        for (instance, file), result in zip(opened, results, strict=True):
            if not isinstance(result, FailedImage):
                scored.assessments.append((instance, to_assessment(instance, file.receipt, result)))
                continue
            if result.partial is not None:
                scored.unfinished.append((instance, to_assessment(instance, file.receipt, result.partial)))
            if result.is_final:
                scored.endless.append((instance, result))
            else:
                scored.failed.append(FailedInstance(instance, f"{type(result.error).__name__}: {result.error}"))
        return scored

    def settle(self, scored: ScoredFiles) -> list[FailedInstance]:
        """Write and index scored objects, take them out of the inbox, and return those that failed.

        Raises the index's error (Redis) after everything is on the disk, and OSError if the spool cannot be written:
        neither is an object's fault, and all objects stay in the inbox.
        """
        failed, unrecorded = self._settle(scored.assessments), self._record_unfinished(scored.unfinished)
        failed += [unrecorded.get(each.instance, each) for each in scored.failed]
        for instance, each in scored.endless:
            left = unrecorded.get(instance) or self.give_up(instance, f"the model {each.card.name} {each.error}", 1)
            failed += [left] if left is not None else []
        return failed

    def give_up(self, instance: ReceivedInstance, error: str, tries: int) -> FailedInstance | None:
        """Make an object a dead letter: its study is visibly not assessed, and a person can requeue the object.

        Only a decision that knows of it may let it go: where none can be written, the object waits, and is returned.
        """
        if not self._spool.waits(instance):
            return None  # another worker has finished it meanwhile
        stored = self._spool.waiting_object(instance)
        receipt = by_store_clock(read_receipt(stored), stored)
        study, sop_instance = instance.study_instance_uid, instance.sop_instance_uid
        with about(association=receipt.association, study=study, object=sop_instance):
            if (undecided := self._assess_as_failed(instance, stored, receipt, error)) is not None:
                logger.error("%s failed %d times (%s), and is not given up", instance.key, tries, error)
                return undecided
            self._spool.bury(instance, {"error": error, "tries": tries, "buried_at": time.time()})
            self._outputs.metrics.buried.inc()
            logger.error("%s is a dead letter after %d tries: %s", instance.key, tries, error)
        return None

    def _record_unfinished(self, assessments: Assessments) -> dict[ReceivedInstance, FailedInstance]:
        """Record and index what some models found on images that another model has yet to score; they stay queued.

        Return those of which that could not be recorded: they wait, as giving them up would lose what was found.
        """
        if not assessments:
            return {}
        errors, decided = StudyErrors(self._spool), self._deciding(assessments)
        with self._spool.batch() as batch:
            self._write_and_decide(assessments, errors, batch, decided)
        return {each: _undecided(each, errors) for each, _ in assessments if each.study_instance_uid in errors.by_study}

    def _deciding(self, assessments: Assessments) -> Callable[[str], None]:
        """Have the list read what it needs of the studies; hold the lock of none."""
        return self._outputs.deciding(
            {instance.study_instance_uid for instance, _ in assessments}, [assessment for _, assessment in assessments]
        )

    def _write_and_decide(
        self, assessments: Assessments, errors: StudyErrors, batch: Batch, decided: Callable[[str], None]
    ) -> dict[str, TriageDecision]:
        """Write assessments, decide and index their studies, and return the decisions by study."""
        # By study, as ``decide_all``: two workers that lock several studies at a time do not wait for each other.
        for instance, assessment in sorted(assessments, key=lambda each: each[0].study_instance_uid):
            if instance.study_instance_uid in errors.by_study:
                continue  # a lock that was waited for is not waited for again
            with errors.isolate(instance.study_instance_uid):
                self._write(instance, assessment)
        studies = {instance.study_instance_uid for instance, _ in assessments} - errors.by_study.keys()
        decisions = self._decider.decide_all(studies, errors, decided)
        batch.settle()
        self._outputs.index(list(decisions.values()))
        return decisions

    def _assess_as_failed(
        self, instance: ReceivedInstance, stored: Openable, receipt: Receipt, error: str
    ) -> FailedInstance | None:
        """Record that an object failed and decide its study durably; return the object where that cannot be done."""
        rejected = Rejected(Reason.WORKER_FAILURE, error)
        prepared = PreparedImage(_header_attributes(stored, instance), View.UNKNOWN, rejected=rejected)
        (result,) = self._inference.run([prepared])
        assert not isinstance(result, FailedImage)
        errors, assessment = StudyErrors(self._spool), to_assessment(instance, receipt, result)
        decided = self._deciding([(instance, assessment)])
        with self._spool.batch() as batch:
            with errors.isolate(instance.study_instance_uid):
                if not self._has_results(instance):  # what other models found stays
                    self._write(instance, assessment)
            studies = {instance.study_instance_uid} - errors.by_study.keys()
            decisions = self._decider.decide_all(studies, errors, decided)
            if decisions:
                batch.settle()
                self._outputs.index(list(decisions.values()))
        if decisions:
            return None
        return _undecided(instance, errors)

    def _has_results(self, instance: ReceivedInstance) -> bool:
        """Return True if a model has scored these bytes, and another one failed."""
        key = (instance.sop_instance_uid, instance.content_digest)
        return any(
            (each.get("sop_instance_uid"), each.get("content_digest")) == key
            and len(each.get("results") or ()) > 1
            and Reason.WORKER_FAILURE in {reason for one in each["results"] for reason in one.get("reasons") or ()}
            for each in self._spool.assessments(instance.study_instance_uid)
        )

    def _context_now(self) -> DecodeContext:
        """Return the cards and the policy for decoding, with the models that are switched off now."""
        disabled = self._resources.disabled()
        if disabled not in self._contexts:
            policy = self._resources.policy.for_decoding
            policy = replace(policy, registry=replace(policy.registry, disabled=disabled))
            cards = {name: session.card for name, session in self._resources.sessions.items()}
            self._contexts = {disabled: DecodeContext.of(cards, policy)}
        return self._contexts[disabled]

    def _opened(self, started: StartedFiles) -> tuple[list[tuple[ReceivedInstance, OpenedFile]], list[FailedInstance]]:
        opened: list[tuple[ReceivedInstance, OpenedFile]] = []
        failed: list[FailedInstance] = []
        for instance, decode in started:
            try:
                opened.append((instance, decode.result()))
            except FileNotFoundError as error:
                if self._spool.waits(instance):
                    text = f"the store has it, and no bytes of it: {cause(error)}"
                    failed.append(FailedInstance(instance, text, Delay.UNREAD))
                else:
                    logger.info("%s was done by another worker meanwhile", instance.key)
            except Exception as error:  # the edge: a decoder that dies, hangs or raises fails its own object only
                text = f"{type(error).__name__}: {error}"
                failed.append(FailedInstance(instance, text, Delay.UNREAD if isinstance(error, UnreadError) else None))
        return opened, failed

    def _settle(self, assessments: Assessments) -> list[FailedInstance]:
        """Write the assessments, decide and index their studies, file the objects, and return those that failed."""
        if not assessments:
            return []
        errors, decided = StudyErrors(self._spool), self._deciding(assessments)
        with self._spool.batch() as batch:
            decisions = self._write_and_decide(assessments, errors, batch, decided)
            failed = self._file(assessments, errors, batch)
        for decision in decisions.values():
            self._outputs.metrics.count_decision(decision)
            log_decision(decision, [assessment for _, assessment in assessments])
        return failed

    def _file(self, assessments: Assessments, errors: StudyErrors, batch: Batch) -> list[FailedInstance]:
        """Take objects whose study is decided out of the inbox, and return the others."""
        failed: list[FailedInstance] = []
        for instance, assessment in assessments:
            study = instance.study_instance_uid
            with errors.isolate(study):
                if study not in errors.by_study:
                    batch.file(instance)
            if study in errors.by_study:
                delay = Delay.LOCKED if study in errors.locked else None
                failed.append(FailedInstance(instance, errors.by_study[study], delay))
            else:
                self._count(instance, assessment)
                log_note(instance, assessment)
        return failed

    def _count(self, instance: ReceivedInstance, assessment: ImageAssessment) -> None:
        metrics = self._outputs.metrics
        metrics.count_assessment(assessment)
        metrics.count_view_check(assessment, self._resources.calling_ae_titles)
        if assessment.view_contradicted:
            logger.info("%s: %s: compare View Position with the image", instance.key, assessment.projection)
        if not was_scored_again(self._spool, instance):  # that one came long ago, and was tagged then
            metrics.time_to_tag.observe(max(time.time() - assessment.received_at, 0.0))

    def _write(self, instance: ReceivedInstance, assessment: ImageAssessment) -> None:
        # Retention, which found the study finished before this object came, removes the folder with all files in it.
        with self._spool.study_lock(instance.study_instance_uid):
            self._spool.write_assessment(instance, to_record(assessment))


def _undecided(instance: ReceivedInstance, errors: StudyErrors) -> FailedInstance:
    study = instance.study_instance_uid
    return FailedInstance(instance, errors.by_study[study], Delay.LOCKED if study in errors.locked else Delay.UNDECIDED)


def _header_attributes(stored: Openable, instance: ReceivedInstance) -> Attributes:
    """Return the attributes of an object that cannot be worked on: its order and patient are known all the same.

    None of an object whose bytes are not those that were received: they may name another patient.
    """
    try:
        data = stored.read_bytes()
        _compare(data, instance.content_digest)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read_attributes(read_header(BytesIO(data)))
    except Exception as error:  # the edge: the header may be why it failed
        logger.warning("%s: no attribute can be read (%s)", stored.name, cause(error))
        return Attributes()
