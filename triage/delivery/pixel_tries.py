"""Studies whose pixels cannot be read for a secondary capture, while the store gives others: tries until the last."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class _Failures:
    number: int
    next_try: float


class PixelTries:
    """Tries of studies of which nothing could be built, as an object could not be read. Times in POSIX seconds.

    Known to one process alone: the next leader begins to count anew, so a study is given up later, and never earlier.
    """

    def __init__(self, first_interval_s: float, longest_interval_s: float, tries: int) -> None:
        self._first_s, self._longest_s, self._tries = first_interval_s, longest_interval_s, tries
        self._failures: dict[str, _Failures] = {}

    def waits(self, study_instance_uid: str, now: float) -> bool:
        """Return whether it is too early to try a study again. A time further ahead was made by a wrong clock."""
        found = self._failures.get(study_instance_uid)
        return found is not None and now < found.next_try <= now + self._longest_s

    def failed(self, study_instance_uid: str, now: float) -> float | None:
        """Note a failed try; return the seconds until the next, or None if it was the last."""
        before = self._failures.pop(study_instance_uid, _Failures(0, 0.0)).number
        if before + 1 >= self._tries:
            return None
        wait_s = min(self._first_s * 2.0 ** min(before, 30), self._longest_s)
        self._failures[study_instance_uid] = _Failures(before + 1, now + wait_s)
        return wait_s

    def forget_others(self, study_instance_uids: Collection[str]) -> None:
        """Forget all studies but these: they have been built, or dropped."""
        self._failures = {uid: found for uid, found in self._failures.items() if uid in study_instance_uids}
