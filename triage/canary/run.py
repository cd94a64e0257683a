"""One canary: sent, followed through the files and the queue of the service, and removed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from triage.canary.partition import open_partition, record_success, register, remove_canaries
from triage.canary.stages import (
    DECIDED,
    DELIVERED,
    QUEUED,
    SCORED,
    STORED,
    SentCanary,
    StageFailedError,
    StagePendingError,
    check_decided,
    check_delivered,
    check_queued,
    check_scored,
)
from triage.canary.study import CanaryObject, make_canary
from triage.channels.settings import Destination
from triage.delivery.outbox import Outbox
from triage.dicom.requestor import RemoteAE
from triage.errors import TriageError
from triage.sender.send import send
from triage.spool.instance import ReceivedInstance
from triage.spool.store import Store

_POLL_S = 0.1
_TAKEN_FOR_PATIENT = (
    "the listener took it for a patient's study: listener and canary need the same spool and the same canary.ae_title"
)


class CanaryRunningError(TriageError):
    """Another canary is being sent through this spool; try again when it has ended."""


@dataclass(frozen=True)
class CanaryResult:
    """Result of one canary: its duration, and the stages that it did not pass with the reason; none means success.

    ``taken_for_patient``: the listener stored it among the patients' studies.
    """

    took_s: float
    failed_stages: Mapping[str, str]
    taken_for_patient: bool = False

    @property
    def succeeded(self) -> bool:
        """True if it is decided, and delivered to every destination that should get it."""
        return not self.failed_stages


@dataclass(frozen=True)
class CanarySetup:
    """Everything that sending a canary needs. ``spool`` is the patients' spool, whose switches hold for it too.

    ``job_status`` returns the status of an object's job in the queue, empty for none, and raises RedisError.
    ``remove_jobs`` removes the jobs of objects from the queue.
    """

    spool: Store
    partition: Store
    listener: RemoteAE
    destinations: Sequence[Destination]
    timeout_s: float
    job_status: Callable[[ReceivedInstance], str]
    remove_jobs: Callable[[Sequence[ReceivedInstance]], object]


@dataclass(frozen=True)
class PassedStage:
    """A stage that a canary has passed: its name, seconds since the start, and details for a person."""

    name: str
    after_s: float
    detail: str


@dataclass(frozen=True)
class CanaryObserver:
    """Callbacks of a run: ``passed`` is called with each passed stage, ``stopping`` ends the run early."""

    passed: Callable[[PassedStage], object]
    stopping: Callable[[], bool] = lambda: False


StageChecks = Mapping[str, Callable[[], str]]
"""Checks of stages by name. A check returns details, or raises StagePendingError or StageFailedError."""


class _StoppedError(TriageError):
    """The caller has ended the run."""


def run_canary(setup: CanarySetup, observer: CanaryObserver) -> CanaryResult | None:
    """Send a canary, follow it to its end and remove all that is left of it; None if the caller ended the run.

    Raises:
        CanaryRunningError: if another canary is being sent.
        OSError: if the partition cannot be used.
        SpoolError: if the partition cannot be used.
    """
    open_partition(setup.spool)  # its folder may have been removed
    refusal = CanaryRunningError("another canary is running: try again when it has ended")
    with setup.partition.workers.hold_alone("canary", refusal):
        setup.remove_jobs(remove_canaries(setup.partition, time.time()))  # of a run that was killed
        canary = make_canary(setup.spool.installation_uid(), time.time())
        try:
            result = _send_and_follow(setup, canary, observer)
        except _StoppedError:
            return None
        finally:
            remove_canaries(setup.partition, time.time())
            setup.remove_jobs([canary.instance])
        if result.succeeded:
            record_success(setup.partition, time.time(), result.took_s)
        return result


def _send_and_follow(setup: CanarySetup, canary: CanaryObject, observer: CanaryObserver) -> CanaryResult:
    started = time.monotonic()
    if error := _send(setup, canary):
        return CanaryResult(time.monotonic() - started, {STORED: error})
    if setup.partition.stored_object(canary.instance) is None:
        return CanaryResult(time.monotonic() - started, {STORED: _TAKEN_FOR_PATIENT}, taken_for_patient=True)
    observer.passed(PassedStage(STORED, time.monotonic() - started, ""))
    for checks in _stage_checks(setup, SentCanary(setup.partition, canary.instance, setup.job_status)):
        if failed := _wait_for(checks, started, setup.timeout_s, observer):
            return CanaryResult(time.monotonic() - started, failed)
    return CanaryResult(time.monotonic() - started, {})


def _stage_checks(setup: CanarySetup, sent: SentCanary) -> Iterator[StageChecks]:
    """Yield the stages one after the other; all deliveries together."""
    yield {QUEUED: partial(check_queued, sent)}
    yield {SCORED: partial(check_scored, sent)}
    yield {DECIDED: partial(check_decided, sent)}
    switches = Outbox(setup.spool)
    yield {f"{DELIVERED}:{each.name}": partial(check_delivered, sent, each, switches) for each in setup.destinations}


def _wait_for(checks: StageChecks, started: float, timeout_s: float, observer: CanaryObserver) -> dict[str, str]:
    """Wait until all stages are passed. Return those that are not, with the reason. Raises _StoppedError."""
    pending, failed = dict(checks), dict[str, str]()
    while pending:
        if observer.stopping():
            raise _StoppedError
        late = time.monotonic() - started > timeout_s
        for name, check in list(pending.items()):
            try:
                detail = check()
            except StagePendingError as error:
                if not late:
                    continue
                failed[name] = f"not within {timeout_s:.0f} s: {error}"
            except StageFailedError as error:
                failed[name] = str(error)
            else:
                observer.passed(PassedStage(name, time.monotonic() - started, detail))
            del pending[name]
        if pending:
            time.sleep(_POLL_S)
    return failed


def _send(setup: CanarySetup, canary: CanaryObject) -> str:
    """Send it to the listener. Return the reason why it was not stored, or an empty text."""
    register(setup.partition, canary.instance)
    with setup.partition.scratch_file() as file:
        file.write_bytes(canary.file)
        (sent,) = send([file], setup.listener)
    return sent.error
