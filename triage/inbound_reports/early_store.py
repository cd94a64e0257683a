"""Reports that came before their study: remembered durably for a bounded time and number, until it is listed.

The entries ``reports`` of the store have one for each, named by when it came and by the message. Only processes that
hear of reports touch them: one on each host, of which one matches and forgets.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from typing import Protocol

from redis.exceptions import RedisError

from triage.decision.identity import Issuer, PatientIdentifier
from triage.decision.reasons import Reason
from triage.decision.types import TriageDecision
from triage.delivery.put_off import PutOff
from triage.errors import TriageError, cause
from triage.inbound_reports.early_report import Arrived, EarlyReport, acquired_at, covers, digest, may_be_of_other
from triage.inbound_reports.matching import NONE, Issuers
from triage.metrics.labels import ReportOutcome
from triage.metrics.reports import ReportMetrics
from triage.runtime.logs import where_raised
from triage.runtime.progress import ProgressWatch
from triage.spool.clock import Clock
from triage.spool.entries import Entries
from triage.spool.errors import LockedError
from triage.spool.patient import certain_identifiers_in, patient_in
from triage.spool.processes import LeaseLostError
from triage.spool.store import Store
from triage.spool.study import StudyImage, WholeStudy, read_whole_study
from triage.worklist import reader_acts as reading
from triage.worklist.reader_acts import NotTaggedError, ReadNotice
from triage.worklist.worklist import Worklist

logger = logging.getLogger(__name__)

FOLDER = "reports"
_POLL_S = 5.0
_SLOW_S = 1.0
_LONGEST_PAUSE_S = 900.0
_LISTS = ("accession_numbers", "patients", "issuers", "accession_issuers")


@dataclass(frozen=True)
class RetentionLimits:
    """Limits of retention: seconds that a report is kept, and the most that are kept (the oldest is removed first)."""

    seconds: float
    at_most: int


class EarlyReports(Protocol):
    """Reports whose study is not here yet."""

    def remember(
        self,
        study: str,
        accession_numbers: Iterable[PatientIdentifier],
        patients: Iterable[PatientIdentifier],
        said: ReadNotice,
    ) -> bool:
        """Keep a report durably. Return False if none is kept here. Raises OSError."""

    def match(self) -> int:
        """Take the studies of stored reports off the list and return their number. Raises RedisError, OSError."""

    def watch(self, stopping: Callable[[], bool], wait: Callable[[float], None], progress: ProgressWatch) -> None:
        """Match every few seconds until ``stopping()``; ``progress`` is told of each try."""


class NoEarlyReports:
    """Keeps no report, where ``reports.remember_hours`` is 0."""

    def remember(
        self,
        study: str,
        accession_numbers: Iterable[PatientIdentifier],
        patients: Iterable[PatientIdentifier],
        said: ReadNotice,
    ) -> bool:
        """Return False: the report is not kept."""
        return False

    def match(self) -> int:
        """Return 0: there is nothing to match."""
        return 0

    def watch(self, stopping: Callable[[], bool], wait: Callable[[float], None], progress: ProgressWatch) -> None:
        """Return at once: there is nothing to match."""


class _UnreadError(TriageError):
    """An object of one study cannot be read, while the store gives others."""


class EarlyReportStore:
    """Reports whose study is not here yet. Safe to call from several threads. ``now``: the clock, in POSIX seconds."""

    def __init__(
        self,
        spool: Store,
        index: Worklist,
        bounds: RetentionLimits,
        metrics: ReportMetrics,
        now: Callable[[], float] = time.time,
        issuers: Issuers = NONE,
    ) -> None:
        self._issuers = issuers
        self._spool, self._index, self._bounds, self._metrics, self._now = spool, index, bounds, metrics, now
        self._clock_in_doubt = Clock(spool).in_doubt
        self._installation = spool.installation_uid()
        self._reports = spool.entries(FOLDER)
        self._reports.prepare()
        self._lock = threading.Lock()
        self._known = dict[str, EarlyReport]()
        self._unreadable = set[str]()
        self._refresh()
        self._matched_at = -1  # the worklist's number of changes; another one, or a new report, asks for a comparison
        self._not_of: set[tuple[str, str, str]] = set()  # a study as a revision that a report is not of
        self._later = PutOff(_LONGEST_PAUSE_S)
        self._count()

    def remember(
        self,
        study: str,
        accession_numbers: Iterable[PatientIdentifier],
        patients: Iterable[PatientIdentifier],
        said: ReadNotice,
    ) -> bool:
        """Keep a report durably, and return True. The same message again is one report. Raises OSError."""
        known, numbers = list(patients), list(accession_numbers)
        early = EarlyReport(
            study,
            tuple(each.value for each in numbers),
            tuple(digest(each.value, self._installation) for each in known),
            said.at,
            self._now(),
            said.who,
            said.source,
            tuple(str(each.issuer) for each in known),
            tuple(str(each.issuer) for each in numbers),
        )
        same = sha256("\n".join((said.source, study, *early.accession_numbers)).encode()).hexdigest()[:32]
        with self._lock:
            self._refresh()
            if any(name.endswith(f"{same}.json") for name in self._known):
                return True
            name = f"{round(early.heard_at * 1e6):016d}-{same}.json"
            self._reports.put(name, json.dumps(asdict(early)))
            self._known[name] = early
            self._matched_at = -1
            self._forget()
        return True

    def match(self) -> int:
        """Take the studies of stored reports off the list and return their number. Raises RedisError, OSError."""
        changes = self._index.changes()
        with self._lock:
            self._refresh()
            self._forget()
            if changes == self._matched_at or not self._known or not self._index.is_built():
                return 0
            known, self._matched_at = dict(self._known), changes
        wanted = known.values()
        uids = {each.study_instance_uid for each in wanted} - {""}
        numbers = {number for each in wanted for number in each.accession_numbers}
        try:
            return sum(self._apply(study, known) for study in self._index.listed(uids, numbers))
        except BaseException:
            self._matched_at = -1
            raise

    def watch(self, stopping: Callable[[], bool], wait: Callable[[float], None], progress: ProgressWatch) -> None:
        """Match every few seconds until ``stopping()``; ``progress`` is told of each try."""
        while not stopping():
            try:
                self.match()
                progress.made()
            except RedisError as error:
                progress.failed(f"Redis: {error}")
                logger.error("Redis: %s; trying again", error)
            except OSError as error:
                progress.failed(f"remembered reports: {cause(error)}")
                logger.error("remembered reports: %s; trying again", cause(error))
            except Exception as error:  # the edge: a fault of ours, which another host has too; the next poll comes
                logger.error("remembered reports: %s; trying again", cause(error))
            wait(_POLL_S)

    def _apply(self, study: TriageDecision, known: dict[str, EarlyReport]) -> int:
        """Return 1 if a report takes the study off the list, else 0. One that cannot be read holds up no other."""
        uid, begun = study.study_instance_uid, self._now()
        if self._later.has(uid) and not self._later.is_due(uid, begun):
            self._matched_at = -1
            return 0
        try:
            applied = self._apply_newest(study, known)
        except _UnreadError as error:
            self._put_off(uid, begun, str(error))
        except LockedError as error:
            self._put_off(uid, begun, cause(error))
        except (ValueError, KeyError, TypeError) as error:  # its records are broken, or of another release
            self._put_off(uid, begun, f"its records cannot be read: {where_raised(error)}")
        else:
            self._later.remove(uid)
            return applied
        return 0

    def _put_off(self, study: str, begun: float, why: str) -> None:
        """Ask about a study again later: it says nothing of the report."""
        self._matched_at, now = -1, self._now()
        if not self._later.has(study):
            logger.warning("study %s waits for the report that was remembered: %s", study, why)
        self._later.add(study, now)
        if now - begun > _SLOW_S:  # a part of a store that is silent costs its timeout each time
            self._later.all(now)

    def _apply_newest(self, study: TriageDecision, known: dict[str, EarlyReport]) -> int:
        uid, revision = study.study_instance_uid, study.revision
        candidates = {
            name: each
            for name, each in known.items()
            if (each.study_instance_uid == uid or study.accession_number in each.accession_numbers)
            and (name, uid, revision) not in self._not_of
        }
        for name, report in sorted(candidates.items(), reverse=True):  # the newest first: a correction
            said = ReadNotice(report.at, report.who, reading.Via.EARLY_REPORT, report.source)
            try:
                covers = partial(self._covers, report, uid)
                step = reading.record_early_notice(self._spool, self._index, uid, said, covers)
            except NotTaggedError:  # retention removed it meanwhile
                return 0
            if step is not None:
                self._metrics.reports.labels(ReportOutcome.EARLY).inc()
                self._metrics.studies_reported.inc()
                logger.info("study %s was reported before it came here, by message %s", uid, report.source)
                return 1
            self._not_of.add((name, uid, revision))
        return 0

    def _read_study(self, study_instance_uid: str) -> WholeStudy | None:
        """Return a study by its objects: one of unknown patient is of no report. Raises _UnreadError, OSError."""
        try:
            return read_whole_study(self._spool, study_instance_uid)
        except (LeaseLostError, LockedError):
            raise
        except OSError as error:
            if not self._spool.gives_objects():
                raise
            raise _UnreadError(f"an object of {study_instance_uid} cannot be read ({cause(error)})") from error

    def _covers(self, report: EarlyReport, study_instance_uid: str) -> bool:
        found = self._read_study(study_instance_uid)
        if found is None or Reason.PATIENT_MISMATCH in found[0].reasons:  # it says nothing of the other patient
            return False
        study = self._arrived(*found)
        return covers(report, study, self._issuers) and not any(
            may_be_of_other(report, study, other, self._issuers) for other in self._of_same_number(study)
        )

    def _of_same_number(self, study: Arrived) -> Iterator[Arrived]:
        """The other studies with its accession number, read ones too."""
        for uid in self._index.with_accession_number(study.accession_number) if study.accession_number else ():
            if uid != study.study_instance_uid and (found := self._read_study(uid)) is not None:
                yield self._arrived(*found)

    def _arrived(self, decision: TriageDecision, images: Iterable[StudyImage]) -> Arrived:
        images = list(images)
        patients = [patient_in(image.header).identifiers for image in images if image.is_own]
        patient = next(filter(None, patients), (PatientIdentifier(""),))[0]
        counting = [image for image in images if image.assessment.counts]
        return Arrived(
            decision.study_instance_uid,
            decision.accession_number,
            digest(patient.value, self._installation),
            tuple(acquired_at(image.header) for image in counting),
            patient.issuer,
            Issuer.from_text(decision.accession_issuer),
            is_unknown=certain_identifiers_in(images) is None,
        )

    def _refresh(self) -> None:
        """Read what the processes of other hosts have kept, and drop what they have removed. Hold the lock."""
        names = set(self._reports.names())
        for gone in self._known.keys() - names:
            del self._known[gone]
        for name in sorted(names - self._known.keys() - self._unreadable):
            if early := _read(self._reports, name):
                self._known[name], self._matched_at = early, -1
            else:
                self._unreadable.add(name)

    def _forget(self) -> None:
        """Remove reports that are too old, unless the clock jumped, and the oldest of too many. Hold the lock."""
        before, surplus = self._now() - self._bounds.seconds, len(self._known) - self._bounds.at_most
        if self._known and self._clock_in_doubt():
            before = 0.0
        by_age = enumerate(sorted(self._known.items()))
        gone = [name for n, (name, each) in by_age if n < surplus or each.heard_at < before]
        if surplus > 0:
            logger.warning("more than %d reports without their study: the oldest go", self._bounds.at_most)
        for name in gone:
            self._reports.remove(name)
            del self._known[name]
        if gone:
            self._not_of = {each for each in self._not_of if each[0] in self._known}
        self._count()

    def _count(self) -> None:
        self._metrics.reports_remembered.set(len(self._known))


def _read(reports: Entries, name: str) -> EarlyReport | None:
    try:
        values = json.loads(reports.get(name))
        lists = {each: tuple(values.get(each, ())) for each in _LISTS}
        return EarlyReport(**{**values, **lists})
    except FileNotFoundError:  # removed meanwhile
        return None
    except (ValueError, TypeError, KeyError):  # of another release
        logger.warning("%s is no report that was remembered: it is left alone", name)
        return None
