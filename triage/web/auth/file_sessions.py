"""Sessions in a folder of this host: one file for each, so that a restart ends none.

A file is named by the digest of its token. Its modification time is the last activity of the user.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from triage.runtime.durable import private_folder, write_durably
from triage.web.auth.sessions import (
    CLOCK_TOLERANCE_S,
    ProviderSession,
    SessionTimes,
    SignedInSession,
    digest_of,
    is_token,
    new_token,
)


@dataclass(frozen=True)
class FileSessions:
    """The sessions in a folder; see ``Sessions``."""

    folder: Path
    times: SessionTimes
    now: Callable[[], float] = field(default=time.time)

    @property
    def lock_s(self) -> float:
        """Seconds without activity that lock a session, 0 for never."""
        return self.times.lock_s

    def begin(self, user: str, stamp: str, provided: ProviderSession | None = None) -> str:
        """Begin a session and return its token, which only the browser may hold. Raises OSError."""
        private_folder(self.folder)
        self._remove_ended()
        token = new_token()
        path = self._path(token)
        record = {"user": user, "stamp": stamp, "began": self.now()}
        write_durably(path, json.dumps(record if provided is None else {**record, "provided": asdict(provided)}))
        os.utime(path, (self.now(), self.now()))
        return token

    def find(self, token: str, *, active: bool) -> SignedInSession | None:
        """Return the session of a token, or None if it has ended or is locked; ``active`` extends it."""
        if not is_token(token):
            return None
        path = self._path(token)
        session, seen = _read(path)
        now = self.now()
        if session is None:
            return None
        if not self._lasts(session.began, seen, now):
            path.unlink(missing_ok=True)
            return None
        if self._locks(seen, now):
            return None
        if active and now - seen > self.times.step_s:
            with suppress(OSError):  # a full disk must not sign people out, and another process may have ended it
                os.utime(path, (now, now))
        return session

    def is_locked(self, token: str) -> bool:
        """Return True if the session of a token lasts and is locked."""
        if not (self.lock_s and is_token(token)):
            return False
        session, seen = _read(self._path(token))
        now = self.now()
        return session is not None and self._lasts(session.began, seen, now) and self._locks(seen, now)

    def lock(self, token: str) -> None:
        """Lock a session now, as if nothing had been done since ``lock_s``. Raises OSError."""
        if self.lock_s and self.find(token, active=False) is not None:
            then = self.now() - self.lock_s
            os.utime(self._path(token), (then, then))

    def end(self, token: str) -> None:
        """End a session."""
        if is_token(token):
            self._path(token).unlink(missing_ok=True)

    def end_all(self, user: str | None = None) -> int:
        """End every session, or those of a user, and return how many there were. Raises OSError."""
        ended = 0
        for path in self.folder.glob("*.json"):
            session, _ = _read(path)
            if user is None or (session is not None and session.user == user):
                path.unlink(missing_ok=True)
                ended += 1
        return ended

    def _lasts(self, began: float, seen: float, now: float) -> bool:
        return (
            began - CLOCK_TOLERANCE_S <= now < began + self.times.longest_s
            and seen - CLOCK_TOLERANCE_S <= now < seen + self.times.idle_s
        )

    def _locks(self, seen: float, now: float) -> bool:
        return 0 < self.lock_s <= now - seen

    def _remove_ended(self) -> None:
        now = self.now()
        for path in self.folder.glob("*.json"):
            session, seen = _read(path)
            if session is None or not self._lasts(session.began, seen, now):
                path.unlink(missing_ok=True)

    def _path(self, token: str) -> Path:
        return self.folder / f"{digest_of(token)}.json"


def _read(path: Path) -> tuple[SignedInSession | None, float]:
    """Return the session in a file and its last activity; None if the file is missing or damaged."""
    try:
        with path.open("rb") as file:
            seen = os.fstat(file.fileno()).st_mtime
            record = json.loads(file.read())
        provided = record.pop("provided", None)
        return SignedInSession(**record, provided=None if provided is None else ProviderSession(**provided)), seen
    except FileNotFoundError:
        return None, 0.0
    except (ValueError, TypeError, AttributeError):
        return None, 0.0
