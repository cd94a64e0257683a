"""A batch of received objects, from their files to their studies' decisions. The worker's work, without the queue."""

from __future__ import annotations

import errno
import logging
import math
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from triage.decision.decide import decide
from triage.decision.reasons import Reason
from triage.decision.records import assessment_from, to_record
from triage.decision.silence import is_silent
from triage.decision.types import ImageAssessment, PriorityPolicy, ShadowScore, Tag, TriageDecision
from triage.dicom.data_set import read_header
from triage.dicom.part10 import Receipt, read_receipt
from triage.metrics.process import Metrics
from triage.model.activation_map import kept
from triage.model.calibration import at_prevalence
from triage.model.card import ModelCard
from triage.model.run_deadline import NotEndedError
from triage.model.session import ModelScores, ModelSession
from triage.radiograph.attributes import read_attributes
from triage.radiograph.types import Attributes, FloatImage, Rejected, View
from triage.runtime.log_context import about
from triage.runtime.logs import where_raised
from triage.runtime.turns import DecodeTurns, Turn
from triage.scoring.assess import (
    AssessmentPolicy,
    Conclusion,
    PreparedImage,
    conclude,
    prepare,
    projection_seen,
    view_contradicted,
)
from triage.scoring.load import load_of
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool

logger = logging.getLogger(__name__)

_OF_THE_SPOOL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Trouble with a disk that is everybody's, whichever study meets it."""


@dataclass(frozen=True)
class Opened:
    """What the decode process made of one file. Small: the pixels stay behind, the model input comes along."""

    prepared: PreparedImage
    receipt: Receipt


@dataclass(frozen=True)
class Failed:
    """An object that could not be worked on now; ``error`` names no patient."""

    instance: ReceivedInstance
    error: str


class OpenError(Exception):
    """An object that could not be opened; the message says what was raised and where, without the object's values."""


def open_file(path: Path, cards: Mapping[str, ModelCard], policy: AssessmentPolicy) -> Opened:
    """Read and prepare one stored object; runs in a decode process. Raises FileNotFoundError and OpenError."""
    try:
        receipt = read_receipt(path)
        prepared = prepare(path.read_bytes(), cards, policy, calling_ae_title=receipt.calling_ae_title)
    except FileNotFoundError:
        raise
    except MemoryError:
        raise OpenError("it needs more memory than one image may (worker.decode_memory_bytes)") from None
    except Exception as error:  # the edge: what a library says of a data set may quote the patient
        raise OpenError(where_raised(error)) from None
    return Opened(prepared, receipt)


def _header_attributes(path: Path) -> Attributes:
    """The attributes of an object that cannot be worked on: order and patient are known all the same."""
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            return read_attributes(read_header(file))
    except Exception as error:  # the edge: it may have failed for what it is
        logger.warning("%s: no attribute can be read (%s)", path.name, type(error).__name__)
        return Attributes()


class BatchScorer:
    """Sessions that stay loaded, children that decode in turns, and the way of a batch through both."""

    def __init__(
        self,
        spool: Spool,
        sessions: Mapping[str, ModelSession],
        turns: DecodeTurns,
        policy: AssessmentPolicy,
        priorities: PriorityPolicy,
        metrics: Metrics,
        index: Callable[[Sequence[TriageDecision]], None],
        mark: Callable[[str], None] = lambda study_instance_uid: None,
        disabled: Callable[[], frozenset[str]] | None = None,
        clock_in_doubt: Callable[[], bool] = lambda: False,
        *,
        calling_ae_titles: Collection[str] = (),
        silent: bool = False,
    ) -> None:
        """``clock_in_doubt`` says whether the clock jumped: then no study is taken for one that nobody waits for.

        ``calling_ae_titles``: the senders that metrics may name. ``silent``: studies that begin now are recorded alone.
        """
        self._spool = spool
        self._sessions = sessions
        self._cards = {name: session.card for name, session in sessions.items()}
        self._turns = turns
        self._policy = policy
        self._priorities = priorities
        self._metrics = metrics
        self._index = index
        self._mark = mark
        self._disabled = disabled or spool.model_switches.disabled
        self._clock_in_doubt = clock_in_doubt
        self._calling_ae_titles = calling_ae_titles
        self._silent = silent

    def start(self, instances: Iterable[ReceivedInstance]) -> list[tuple[ReceivedInstance, Turn[Opened]]]:
        """Begin to decode; returns at once. Objects that are no longer in the inbox are done, and left out."""
        policy = self._policy_now()
        waiting = [instance for instance in instances if self._spool.waits(instance)]
        paths = [self._spool.inbox_path(each) for each in waiting]
        loads = map(load_of, paths)
        return [
            (each, self._turns.submit(open_file, path, self._cards, policy, load=load))
            for each, path, load in zip(waiting, paths, loads, strict=True)
        ]

    def finish(self, started: Sequence[tuple[ReceivedInstance, Turn[Opened]]]) -> list[Failed]:
        """Score what was started, write and index it, and take it out of the inbox. Returns what failed.

        Raises what the index raises (Redis), after everything is on the disk, and OSError if the spool cannot be
        written: neither is an object's fault, and all of them stay in the inbox.
        """
        opened: list[tuple[ReceivedInstance, Opened]] = []
        failed: list[Failed] = []
        for instance, decoding in started:
            try:
                opened.append((instance, decoding.result()))
            except FileNotFoundError as error:
                if self._spool.waits(instance):
                    failed.append(Failed(instance, str(error)))
                else:
                    logger.info("%s was done by another worker meanwhile", instance.key)
            except Exception as error:  # the edge: a decoder that dies, hangs or raises fails its own object only
                failed.append(Failed(instance, f"{type(error).__name__}: {error}"))
        endless: list[Failed] = []
        assessments = self._assess(opened, failed, endless)
        self._settle(assessments, failed)
        for each in endless:  # a further try would take as long, and end as this one
            self.give_up(each.instance, each.error, 1)
        return failed

    def give_up(self, instance: ReceivedInstance, error: str, tries: int) -> None:
        """Make an object a dead letter: its study is visibly not assessed, and a person can requeue the object."""
        if not self._spool.waits(instance):
            return  # another worker has done it meanwhile
        path = self._spool.inbox_path(instance)
        receipt = read_receipt(path)
        study, sop_instance = instance.study_instance_uid, instance.sop_instance_uid
        with about(association=receipt.association, study=study, object=sop_instance):
            self._give_up(instance, path, receipt, error, tries)

    def _give_up(self, instance: ReceivedInstance, path: Path, receipt: Receipt, error: str, tries: int) -> None:
        rejected = Rejected(Reason.WORKER_FAILURE, error)
        known = PreparedImage(_header_attributes(path), View.UNKNOWN, rejected=rejected)
        undecided: dict[str, str] = {}
        with self._one_study(instance.study_instance_uid, undecided):
            self._write(instance, self._rejected(instance, Opened(known, receipt)))
        decisions = self._decide_all({instance.study_instance_uid} - undecided.keys(), undecided)
        if decisions:
            self._spool.sync()
            self._index(list(decisions.values()))
        for why in undecided.values():  # the study's trouble, not this object's
            logger.error("%s: the study cannot be decided: %s", instance.study_instance_uid, why)
        self._spool.bury(instance, {"error": error, "tries": tries, "buried_at": time.time()})
        self._metrics.buried.inc()
        logger.error("%s is a dead letter after %d tries: %s", instance.key, tries, error)

    def _policy_now(self) -> AssessmentPolicy:
        disabled = self._disabled()
        return replace(self._policy, registry=replace(self._policy.registry, disabled=disabled))

    def _assess(
        self, opened: Sequence[tuple[ReceivedInstance, Opened]], failed: list[Failed], endless: list[Failed]
    ) -> list[tuple[ReceivedInstance, ImageAssessment]]:
        disabled = self._disabled()
        opened = [(instance, _unless_disabled(each, disabled)) for instance, each in opened]
        done = [(i, self._rejected(i, each)) for i, each in opened if each.prepared.rejected is not None]
        for name, session in self._sessions.items():
            batch = [(i, each) for i, each in opened if each.prepared.model_name == name]
            if batch:
                done += self._score(session, batch, failed, endless)
        return done

    def _score(
        self,
        session: ModelSession,
        batch: Sequence[tuple[ReceivedInstance, Opened]],
        failed: list[Failed],
        endless: list[Failed],
    ) -> list[tuple[ReceivedInstance, ImageAssessment]]:
        started = time.perf_counter()
        try:
            scores = session.score(np.stack([_input(each) for _, each in batch]))
        except Exception as error:  # the edge: a batch that fails is tried again one by one
            if len(batch) > 1:
                return [one for each in batch for one in self._score(session, [each], failed, endless)]
            if isinstance(error, NotEndedError):
                endless.append(Failed(batch[0][0], f"the model {session.card.name} {error}"))
            else:
                failed.append(Failed(batch[0][0], f"{type(error).__name__}: {error}"))
            return []
        seconds = (time.perf_counter() - started) / len(batch)
        self._metrics.batch_size.observe(len(batch))
        maps = _maps(session, scores, [each for _, each in batch])
        return [
            (instance, replace(self._scored(instance, each, session.card, _at(scores, position), seconds), **found))
            for position, ((instance, each), found) in enumerate(zip(batch, maps, strict=True))
        ]

    def _scored(
        self, instance: ReceivedInstance, opened: Opened, card: ModelCard, score: tuple[float, float], seconds: float
    ) -> ImageAssessment:
        probability, distance = score
        conclusion = conclude(opened.prepared, card, probability, distance, self._policy)
        assessment, prevalence = _assessment(instance, opened, conclusion), self._policy.prevalence.get(card.name)
        ap_share = projection_seen(opened.prepared, conclusion)
        return replace(
            assessment,
            model_id=card.model_id,
            model_digest=card.model_sha256,
            operating_point=self._policy.operating_point,
            distance=distance if math.isfinite(distance) else None,  # JSON has no infinity
            distance_limit=card.distribution.limit,
            calibrated_probability=_calibrated(conclusion.probability, card, prevalence),
            prevalence=prevalence,
            ap_share=ap_share,
            view_contradicted=view_contradicted(opened.prepared, ap_share),
            shadow_scores=tuple(
                self._in_shadow(opened.prepared, name) for name in sorted(opened.prepared.shadow_inputs)
            ),
            stages={**(assessment.stages or {}), "infer": seconds},
        )

    def _in_shadow(self, prepared: PreparedImage, name: str) -> ShadowScore:
        """What the model ``name`` makes of an image that counts by another one's score; its failure costs nobody."""
        session, started = self._sessions[name], time.perf_counter()
        try:
            probability, distance = _at(session.score(prepared.shadow_inputs[name][np.newaxis]), 0)
        except Exception as error:  # the edge: a model on trial
            logger.error("the model %s, in shadow, failed on an image: %s", name, where_raised(error))
            probability = distance = math.nan
        conclusion = conclude(prepared, session.card, probability, distance, self._policy)
        return ShadowScore(
            model_id=session.card.model_id,
            model_digest=session.card.model_sha256,
            tag=conclusion.tag,
            probability=conclusion.probability,
            reasons=conclusion.reasons,
            distance=distance if math.isfinite(distance) else None,
            distance_limit=session.card.distribution.limit,
            seconds=time.perf_counter() - started,
        )

    def _rejected(self, instance: ReceivedInstance, opened: Opened) -> ImageAssessment:
        rejected = opened.prepared.rejected
        assert rejected is not None
        conclusion = Conclusion(Tag.NOT_ASSESSED, None, (rejected.reason,))
        return replace(_assessment(instance, opened, conclusion), detail=rejected.detail)

    def _settle(self, assessments: Sequence[tuple[ReceivedInstance, ImageAssessment]], failed: list[Failed]) -> None:
        """The order is what makes a crash harmless: assessment, decision, index, and only then out of the inbox."""
        if not assessments:
            return
        undecided: dict[str, str] = {}
        for instance, assessment in assessments:
            with self._one_study(instance.study_instance_uid, undecided):
                self._write(instance, assessment)
        studies = {instance.study_instance_uid for instance, _ in assessments} - undecided.keys()
        decisions = self._decide_all(studies, undecided)
        self._spool.sync()
        self._index(list(decisions.values()))
        for instance, assessment in assessments:
            with self._one_study(instance.study_instance_uid, undecided):
                if instance.study_instance_uid not in undecided:
                    self._spool.file(instance)
            if (why := undecided.get(instance.study_instance_uid)) is not None:
                failed.append(Failed(instance, why))
                continue
            self._metrics.count_assessment(assessment)
            self._metrics.count_view_check(assessment, self._calling_ae_titles)
            if assessment.view_contradicted:
                logger.info("%s: %s: compare View Position with the image", instance.key, assessment.projection)
            self._metrics.time_to_tag.observe(max(time.time() - assessment.received_at, 0.0))
        for decision in decisions.values():
            self._metrics.count_decision(decision)
            _tell_decided(decision, [each for _, each in assessments])

    def _decide_all(self, studies: Iterable[str], undecided: dict[str, str]) -> dict[str, TriageDecision]:
        """Decisions by study, and in ``undecided`` why there is none: a study's records cost that study only."""
        decisions: dict[str, TriageDecision] = {}
        for uid in sorted(studies):
            with self._one_study(uid, undecided):
                try:
                    decisions[uid] = self._decide(uid)
                except (ValueError, KeyError, TypeError) as error:
                    undecided[uid] = f"the study's records cannot be read: {where_raised(error)}"
        return decisions

    @contextmanager
    def _one_study(self, study_instance_uid: str, undecided: dict[str, str]) -> Iterator[None]:
        """Note in ``undecided`` what the disk has against one study; what it has against all of them is raised."""
        try:
            yield
        except OSError as error:
            if error.errno in _OF_THE_SPOOL or not self._spool.takes_studies():
                raise
            undecided[study_instance_uid] = f"the study cannot be written: {error.strerror or type(error).__name__}"

    def _write(self, instance: ReceivedInstance, assessment: ImageAssessment) -> None:
        # Retention, which found the study finished before this object came, removes the folder with what is in it.
        with self._spool.study_lock(instance.study_instance_uid):
            self._spool.write_assessment(instance, to_record(assessment))

    def _decide(self, study_instance_uid: str) -> TriageDecision:
        in_doubt = self._clock_in_doubt()
        priorities = replace(self._priorities, prior_after_days=0.0) if in_doubt else self._priorities
        with self._spool.study_lock(study_instance_uid):
            images = [assessment_from(record) for record in self._spool.assessments(study_instance_uid)]
            known = self._earlier(study_instance_uid)
            decision = replace(
                decide(images, priorities, time.time()),
                sequence=1 + max((int(each.get("sequence") or 0) for each in known), default=0),
                silent=self._is_silent(known, images, in_doubt),
            )
            self._spool.write_decision(study_instance_uid, to_record(decision))
            if not decision.silent:
                self._mark(study_instance_uid)
        return decision

    def _earlier(self, study_instance_uid: str) -> list[dict[str, Any]]:
        """The study's last decision. Hold its lock. Where that is lost, its history."""
        last = self._spool.decision(study_instance_uid)
        return [last] if last is not None else self._spool.history(study_instance_uid)

    def _is_silent(self, known: Sequence[dict[str, Any]], images: Sequence[ImageAssessment], in_doubt: bool) -> bool:
        before = bool(known[-1].get("silent")) if known else None
        tagged_at = float(known[-1].get("tagged_at") or 0.0) if known else 0.0
        newest = max(image.received_at for image in images)
        return is_silent(before, tagged_at, newest, self._silent, clock_in_doubt=in_doubt)


def _assessment(instance: ReceivedInstance, opened: Opened, conclusion: Conclusion) -> ImageAssessment:
    attributes, now = opened.prepared.attributes, time.time()
    return ImageAssessment(
        study_instance_uid=instance.study_instance_uid,
        series_instance_uid=attributes.series_instance_uid,
        sop_instance_uid=instance.sop_instance_uid,
        content_digest=instance.content_digest,
        sop_class_uid=attributes.sop_class_uid or opened.receipt.sop_class_uid,
        accession_number=attributes.accession_number,
        modality=attributes.modality,
        view=opened.prepared.view,
        calling_ae_title=opened.receipt.calling_ae_title,
        received_at=opened.receipt.received_at or now,
        assessed_at=now,
        tag=conclusion.tag,
        probability=conclusion.probability,
        reasons=conclusion.reasons,
        model_id=None,
        age_years=attributes.age_years,
        order_priority=attributes.order_priority,
        shadow=conclusion.shadow,
        stages=dict(opened.prepared.stages),
        acquisition_date=attributes.acquisition_date,
        detail=conclusion.detail,
        accession_issuer=attributes.accession_issuer,
        patient=attributes.patient,
        association=opened.receipt.association,
    )


def _tell_decided(decision: TriageDecision, assessments: Iterable[ImageAssessment]) -> None:
    """What is found of it stands in the spool; the log says that there is a result, and from which associations."""
    uid = decision.study_instance_uid
    from_ = sorted({each.association for each in assessments if each.study_instance_uid == uid} - {""})
    with about(study=uid, result=decision.revision[:16], association=" ".join(from_)):
        logger.info("study %s is tagged, result %d", uid, decision.sequence, extra={"source": uid})


def _calibrated(probability: float | None, card: ModelCard, prevalence: float | None) -> float | None:
    """The probability for a site that states how many of its patients are ill."""
    if probability is None or prevalence is None or card.calibration_fit is None:
        return None
    return at_prevalence(probability, card.calibration_fit, prevalence)


def _unless_disabled(opened: Opened, disabled: frozenset[str]) -> Opened:
    """The kill switch may have been used since the object was prepared."""
    prepared = opened.prepared
    if prepared.model_name not in disabled:
        inputs = {name: values for name, values in prepared.shadow_inputs.items() if name not in disabled}
        return replace(opened, prepared=replace(prepared, shadow_inputs=inputs))
    rejected = Rejected(Reason.MODEL_DISABLED, f"{prepared.model_name} is switched off")
    return replace(
        opened, prepared=replace(prepared, model_name="", model_input=None, shadow_inputs={}, rejected=rejected)
    )


def _input(opened: Opened) -> FloatImage:
    assert opened.prepared.model_input is not None
    return opened.prepared.model_input


def _maps(session: ModelSession, scores: ModelScores, opened: Sequence[Opened]) -> list[dict[str, Any]]:
    """What is kept of each image's activation map: of this very run, so that it is the map of the score beside it."""
    count = len(scores.probability)
    if not session.keeps_maps:
        return [{}] * count
    if scores.maps is None:
        return [{"no_map": f"{session.card.model_id} has no activation map"}] * count
    card = session.card
    found = [
        kept(cells, card.preprocessing.spec(), card.activation_grid, each.prepared.content)
        for cells, each in zip(scores.maps, opened, strict=True)
    ]
    return [
        {"activation_map": each} if each else {"no_map": "the map had values that are no numbers"} for each in found
    ]


def _at(scores: ModelScores, position: int) -> tuple[float, float]:
    return float(scores.probability[position]), float(scores.distance[position])
