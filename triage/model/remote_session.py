"""A model that lives at a server: scores count only while the server gives the known answers (docs/adr/0061).

Its weights are elsewhere and the protocol tells no digest of them. So the known answers are asked for at the start,
every few minutes, after each failure and at each change of version; a difference takes the model out until they hold
again. A request of two images or more carries a known one at least, and its answer counts only if that one is right.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import count

import numpy as np
import numpy.typing as npt

from triage.model.card import ModelCard
from triage.model.known_answers import TOLERANCE, KnownAnswers
from triage.model.open_inference import InferenceError, OpenInferenceClient
from triage.model.run_deadline import NotEndedError
from triage.model.session import ModelScores

logger = logging.getLogger(__name__)

FloatArray = npt.NDArray[np.float32]
PROVIDER = "open_inference"
"""The execution provider of a model that lives at a server, as metrics name it."""

_ATTEMPTS = 2
_RETRY_S = 5.0
_POLL_S = 1.0


class CheckOutcome(StrEnum):
    """Outcomes of asking for the known answers."""

    HELD = "held"
    DIFFERED = "differed"
    FAILED = "failed"  # no valid answer


class ModelOutError(NotEndedError):
    """The model is out of service; the message goes on after its name."""


@dataclass(frozen=True)
class CheckTimes:
    """Seconds between two checks, and seconds for which images wait for a server that gives no valid answers."""

    interval_s: float = 300.0
    patience_s: float = 60.0


@dataclass(frozen=True)
class _State:
    """Result of the last check. ``since``: when this outcome began, and ``at`` when it was last found (monotonic)."""

    outcome: CheckOutcome = CheckOutcome.FAILED
    why: str = "was not asked yet"
    version: str = ""
    since: float = 0.0
    at: float = float("-inf")


class RemoteSession:
    """One model at a server. Thread-safe."""

    provider = PROVIDER
    keeps_maps = False

    def __init__(
        self,
        card: ModelCard,
        client: OpenInferenceClient,
        known: KnownAnswers,
        distance: Callable[[FloatArray], FloatArray],
        times: CheckTimes,
        observe: Callable[[CheckOutcome], object] = lambda outcome: None,
    ) -> None:
        """Prepare a session; nothing is asked until ``check`` or ``score``.

        Args:
            card: Its card.
            client: Asks its server.
            known: The known answers.
            distance: Returns the distances (n,) of model inputs, which are measured here and not at the server.
            times: When to check.
            observe: Called with the outcome of each check.
        """
        self.card = card
        self._client, self._known, self._distance, self._times, self._observe = client, known, distance, times, observe
        self._batch = client.contract.batch
        self._at_once = max(self._batch - 1, 1)
        self._next_known = count()
        self._checking = threading.RLock()
        self._state = _State(since=time.monotonic())
        self._held_at = 0.0  # POSIX seconds

    @property
    def why_out(self) -> str:
        """Reason why the model is out of service, to go on after its name; empty if it is in service."""
        state = self._state
        return "" if state.outcome is CheckOutcome.HELD else f"is out of service: its server {state.why}"

    def score(self, batch: FloatArray) -> ModelScores:
        """Score inputs of shape (n, 1, size, size), n at least 1.

        Raises:
            ModelOutError: The model is out of service.
            InferenceError: The server gives no valid answer for these images, and the known ones for others.
        """
        size = self.card.preprocessing.size
        if batch.ndim != 4 or batch.shape[1:] != (1, size, size):
            raise ValueError(f"{self.card.name} takes (n, 1, {size}, {size}), not {batch.shape}")
        pieces = [self._run(batch[start : start + self._at_once]) for start in range(0, len(batch), self._at_once)]
        return ModelScores(np.concatenate(pieces), self._distance(batch))

    def check(self, *, unless_newer_than_s: float = 0.0) -> bool:
        """Ask for the known answers, unless that was done in the last seconds; return True if they hold."""
        with self._checking:
            if time.monotonic() - self._state.at >= unless_newer_than_s:
                self._turn(self._checked())
            return self._state.outcome is CheckOutcome.HELD

    def watch(self, stop: threading.Event) -> None:
        """Check when it is due, until ``stop``; for a thread. A model that is out is tried again soon."""
        while not stop.wait(min(_RETRY_S, self._times.interval_s)):
            self.check(unless_newer_than_s=0.0 if self.why_out else self._times.interval_s)

    def _run(self, piece: FloatArray) -> FloatArray:
        """Return the probabilities of one request. An answer counts only in the state in which it was asked for."""
        failure = InferenceError("changes its version from one answer to the next")
        for _ in range(_ATTEMPTS):
            state, first = self._in_service(), next(self._next_known)
            try:
                answer = self._client.infer(np.concatenate([piece, self._some_known(first, self._batch - len(piece))]))
            except InferenceError as error:
                failure = error
                if self.check():
                    break  # it is these images that it does not answer for
                continue
            found, known = np.split(answer.probability, [len(piece)])
            if self._holds(answer.version, state, self._known.difference(first, known)):
                return found
        raise InferenceError(f"the model {self._name}: its server {failure}")

    def _holds(self, version: str, state: _State, difference: float) -> bool:
        """Return True if an answer counts; else check, which takes the model out where that is why."""
        if version != state.version:
            logger.warning("the model %s has another version at its server: known answers are asked for", self._name)
            self.check()
            return False
        if difference > TOLERANCE:
            with self._checking:
                self._turn(self._differing(difference, version))
            return False
        return self._state.outcome is CheckOutcome.HELD  # a check may have failed meanwhile

    def _in_service(self) -> _State:
        """Return the state in which the known answers hold. Raises ModelOutError.

        While the server gives no valid answer, this waits for it, and once only: what comes later fails at once.
        """
        while not self.check(unless_newer_than_s=self._pause()):
            state = self._state
            if state.outcome is CheckOutcome.DIFFERED or time.monotonic() - state.since > self._times.patience_s:
                raise ModelOutError(self.why_out)
            time.sleep(_POLL_S)
        return self._state

    def _pause(self) -> float:
        """Return for how many seconds the last check counts."""
        held = self._state.outcome is CheckOutcome.HELD
        return self._times.interval_s if held else min(_RETRY_S, self._times.interval_s)

    def _checked(self) -> _State:
        """Return the state after asking for all known answers."""
        version: str | None = None
        try:
            for first in range(0, len(self._known.images), self._batch):
                answer = self._client.infer(self._some_known(first, self._batch))
                if version not in (None, answer.version):
                    return _State(CheckOutcome.FAILED, "changes its version from one answer to the next")
                version = answer.version
                if (difference := self._known.difference(first, answer.probability)) > TOLERANCE:
                    return self._differing(difference, version)
        except InferenceError as error:
            return _State(CheckOutcome.FAILED, str(error))
        return _State(CheckOutcome.HELD, version=version or "")

    def _some_known(self, first: int, number: int) -> FloatArray:
        """Return as many known images, from the ``first`` on, cyclic."""
        return self._known.images[np.arange(first, first + number) % len(self._known.images)]

    def _differing(self, difference: float, version: str) -> _State:
        why = f"gives answers that are off by {difference:.2g} from the known ones (at most {TOLERANCE:g})"
        return _State(CheckOutcome.DIFFERED, why, version)

    def _turn(self, found: _State) -> None:
        """Take over the state of a check; log and count it."""
        before, now = self._state, time.monotonic()
        since = before.since if found.outcome is before.outcome else now
        self._state = replace(found, since=since, at=now)
        self._observe(found.outcome)
        if found.outcome is CheckOutcome.HELD:
            if before.outcome is not CheckOutcome.HELD or before.version != found.version:
                logger.info(
                    "the model %s, version %s at its server, gives the known answers", self._name, found.version
                )
            self._held_at = time.time()
        elif (found.outcome, found.why) != (before.outcome, before.why):
            logger.error("the model %s %s%s", self._name, self.why_out, self._in_doubt(found.outcome))

    def _in_doubt(self, outcome: CheckOutcome) -> str:
        """Return what is to be doubted of what it has said."""
        if outcome is not CheckOutcome.DIFFERED or not self._held_at:
            return "; its images are NOT_ASSESSED until the known answers hold again"
        held = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(self._held_at))
        return f"; its images are NOT_ASSESSED until they hold again, and what it said since {held} UTC is in doubt"

    @property
    def _name(self) -> str:
        return self.card.model_id
