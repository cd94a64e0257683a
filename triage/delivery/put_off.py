"""Studies that are tried again later, as something of each failed; the others go on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

_FIRST_S = 30.0
_SHARE = 30.0  # the pause grows to this part of the time for which it has failed


@dataclass(frozen=True)
class _Pause:
    since: float
    again_at: float
    may_leave: bool


class PutOff:
    """Pauses of studies, in the memory of one process. Times are POSIX seconds, by this host's clock."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = max(longest_s, _FIRST_S)
        self._pauses: dict[str, _Pause] = {}
        self._all_again_at = 0.0

    def has(self, study_instance_uid: str) -> bool:
        """Return whether a study failed, and has not been done since."""
        return study_instance_uid in self._pauses

    def may_leave(self, study_instance_uid: str) -> bool:
        """Return whether the messages of a study may be sent while it is put off."""
        pause = self._pauses.get(study_instance_uid)
        return pause is None or pause.may_leave

    def is_due(self, study_instance_uid: str, now: float) -> bool:
        """Return whether a study's pause is over."""
        pause = self._pauses.get(study_instance_uid)
        return not (self._is_ahead(self._all_again_at, now) or (pause and self._is_ahead(pause.again_at, now)))

    def add(self, study_instance_uid: str, now: float, *, may_leave: bool = True) -> None:
        """Put a study off, each time for longer."""
        before = self._pauses.get(study_instance_uid)
        since = now if before is None else min(before.since, now)
        pause_s = min(max((now - since) / _SHARE, _FIRST_S), self._longest_s)
        self._pauses[study_instance_uid] = _Pause(since, now + pause_s, may_leave)

    def all(self, now: float) -> None:
        """Put all off that failed."""
        self._all_again_at = now + _FIRST_S

    def remove(self, study_instance_uid: str) -> None:
        """Forget a study that is done."""
        self._pauses.pop(study_instance_uid, None)

    def keep_only(self, study_instance_uids: Collection[str]) -> None:
        """Forget all studies but these."""
        self._pauses = {uid: pause for uid, pause in self._pauses.items() if uid in study_instance_uids}

    def _is_ahead(self, at: float, now: float) -> bool:
        """Return whether it is too early. A time that is further ahead was set by a clock that was wrong."""
        return now < at <= now + self._longest_s
