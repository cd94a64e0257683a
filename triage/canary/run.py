"""One canary: sent, watched on its way through the service's files and queue, and removed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from triage.canary import partition as lying
from triage.canary.stages import (
    DECIDED,
    DELIVERED,
    QUEUED,
    SCORED,
    STORED,
    Facts,
    NotYet,
    Stuck,
    decided,
    delivered,
    queued,
    scored,
)
from triage.canary.study import CanaryObject, a_canary
from triage.channels.settings import Destination
from triage.delivery.outbox import Outbox
from triage.dicom.requestor import RemoteAE
from triage.sender.send import send
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool

_LOOK_S = 0.1
_STRAYED = (
    "the listener took it for a patient's study: listener and canary need the same spool and the same canary.ae_title"
)


class UnderWayError(Exception):
    """Another canary is on its way through this spool."""


@dataclass(frozen=True)
class CanaryResult:
    """What became of a canary. ``stuck``: the stages that it did not pass, with why; none: it came out.

    ``strayed``: it is among the patients' studies.
    """

    took_s: float
    stuck: dict[str, str]
    strayed: bool = False

    @property
    def came_out(self) -> bool:
        """Whether it is decided, and delivered wherever it should be."""
        return not self.stuck


@dataclass(frozen=True)
class Route:
    """Where a canary goes. ``spool`` is the patients', whose switches hold for it too.

    ``state`` is that of its job in the queue, empty for none; RedisError if Redis is away. ``forget`` removes the job.
    """

    spool: Spool
    partition: Spool
    address: RemoteAE
    destinations: Sequence[Destination]
    timeout_s: float
    state: Callable[[ReceivedInstance], str]
    forget: Callable[[Sequence[ReceivedInstance]], object]


Passed = Callable[[str, float, str], object]
"""Told of each stage that is passed: its name, seconds since the start, what is to be said of it."""

Stages = dict[str, Callable[[], str]]
"""From a stage's name to what says whether it is passed; see ``stages``."""


def fly(route: Route, passed: Passed, stopping: Callable[[], bool] = lambda: False) -> CanaryResult | None:
    """Send a canary and watch it come out; None if ``stopping()`` came first. Nothing of it is left afterwards.

    Raises UnderWayError, and OSError or SpoolError if its place cannot be used.
    """
    lying.open_partition(route.spool)  # somebody may have removed it
    with _alone(route.partition):
        route.forget(lying.clean(route.partition, time.time()))  # of a flight that was killed
        canary = a_canary(route.spool.installation_uid(), time.time())
        try:
            outcome = _watched(route, canary, passed, stopping)
        finally:
            lying.clean(route.partition, time.time())
            route.forget([canary.instance])
        if outcome is not None and outcome.came_out:
            lying.came_out(route.partition, time.time(), outcome.took_s)
        return outcome


def _watched(route: Route, canary: CanaryObject, passed: Passed, stopping: Callable[[], bool]) -> CanaryResult | None:
    started = time.monotonic()
    if why := _sent(route, canary):
        return CanaryResult(time.monotonic() - started, {STORED: why})
    if route.partition.find(canary.instance) is None:
        return CanaryResult(time.monotonic() - started, {STORED: _STRAYED}, strayed=True)
    passed(STORED, time.monotonic() - started, "")
    for stages in _stages(route, Facts(route.partition, canary.instance, route.state)):
        stuck = _until(stages, started, route.timeout_s, passed, stopping)
        if stuck is None:
            return None
        if stuck:
            return CanaryResult(time.monotonic() - started, stuck)
    return CanaryResult(time.monotonic() - started, {})


def _stages(route: Route, facts: Facts) -> Iterator[Stages]:
    """One after the other; all deliveries at once."""
    yield {QUEUED: partial(queued, facts)}
    yield {SCORED: partial(scored, facts)}
    yield {DECIDED: partial(decided, facts)}
    switches = Outbox(route.spool)
    yield {f"{DELIVERED}:{each.name}": partial(delivered, facts, each, switches) for each in route.destinations}


def _until(
    stages: Stages, started: float, timeout_s: float, passed: Passed, stopping: Callable[[], bool]
) -> dict[str, str] | None:
    """Wait until all of ``stages`` are passed. Those that are not, with why; None if told to stop."""
    ahead, stuck = dict(stages), dict[str, str]()
    while ahead:
        if stopping():
            return None
        late = time.monotonic() - started > timeout_s
        for name, look in list(ahead.items()):
            try:
                said = look()
            except NotYet as not_yet:
                if not late:
                    continue
                stuck[name] = f"not within {timeout_s:.0f} s: {not_yet}"
            except Stuck as error:
                stuck[name] = str(error)
            else:
                passed(name, time.monotonic() - started, said)
            del ahead[name]
        if ahead:
            time.sleep(_LOOK_S)
    return stuck


def _sent(route: Route, canary: CanaryObject) -> str:
    """Send it to the listener; why it was not stored, or an empty text."""
    lying.register(route.partition, canary.instance)
    file = route.partition.new_part()
    try:
        file.write_bytes(canary.file)
        (outcome,) = send([file], route.address)
    finally:
        file.unlink(missing_ok=True)
    return outcome.error


@contextmanager
def _alone(partition: Spool) -> Iterator[None]:
    """Have the partition alone among all processes: the kernel gives it back if this one is killed."""
    with ExitStack() as stack:
        try:
            stack.enter_context(partition.workers.hold("canary"))
        except BlockingIOError as error:
            raise UnderWayError("another canary is on its way: try again when it has come out") from error
        yield
