"""Sessions of signed-in users: one file for each, so that a restart ends none.

The browser holds a random token in a cookie. The file is named by the digest of the token, so that a person who reads
the folder cannot take over a session. The modification time of the file is the last activity of the user.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

from triage.runtime.durable import private_folder, write_durably

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")  # 256 bits
_ACTIVITY_STEP_S = 20.0
_CLOCK_TOLERANCE_S = 60.0


@dataclass(frozen=True)
class ProviderSession:
    """Role and ID token from an identity provider."""

    role: str
    id_token: str  # sent to the provider at sign-out only


@dataclass(frozen=True)
class SignedInSession:
    """User, stamp of the account, and start (POSIX seconds) of a session.

    The ``stamp`` names the state of the account at that time. ``provided`` is None for a local user.
    """

    user: str
    stamp: str
    began: float
    provided: ProviderSession | None = None


@dataclass(frozen=True)
class Sessions:
    """The sessions in a folder. Safe for threads and processes.

    ``idle_s`` and ``longest_s`` end a session. ``lock_s`` without activity lock it, 0 for never: it lasts, and nothing
    is answered to it until its user signs in again.
    """

    folder: Path
    idle_s: float
    longest_s: float
    now: Callable[[], float] = field(default=time.time)
    lock_s: float = 0.0

    def begin(self, user: str, stamp: str, provided: ProviderSession | None = None) -> str:
        """Begin a session and return its token, which only the browser may hold. Raises OSError."""
        private_folder(self.folder)
        self._remove_ended()
        token = secrets.token_urlsafe(32)
        path = self._path(token)
        record = {"user": user, "stamp": stamp, "began": self.now()}
        write_durably(path, json.dumps(record if provided is None else {**record, "provided": asdict(provided)}))
        os.utime(path, (self.now(), self.now()))
        return token

    def find(self, token: str, *, active: bool) -> SignedInSession | None:
        """Return the session of a token, or None if it has ended or is locked; ``active`` extends it."""
        if not _TOKEN.fullmatch(token):
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
        if active and now - seen > self._step_s:
            with suppress(OSError):  # a full disk must not sign people out, and another process may have ended it
                os.utime(path, (now, now))
        return session

    def is_locked(self, token: str) -> bool:
        """Return True if the session of a token lasts and is locked."""
        if not (self.lock_s and _TOKEN.fullmatch(token)):
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
        if _TOKEN.fullmatch(token):
            self._path(token).unlink(missing_ok=True)

    def _lasts(self, began: float, seen: float, now: float) -> bool:
        return (
            began - _CLOCK_TOLERANCE_S <= now < began + self.longest_s
            and seen - _CLOCK_TOLERANCE_S <= now < seen + self.idle_s
        )

    @property
    def _step_s(self) -> float:
        return min(_ACTIVITY_STEP_S, self.lock_s / 4) if self.lock_s else _ACTIVITY_STEP_S

    def _locks(self, seen: float, now: float) -> bool:
        return 0 < self.lock_s <= now - seen

    def _remove_ended(self) -> None:
        now = self.now()
        for path in self.folder.glob("*.json"):
            session, seen = _read(path)
            if session is None or not self._lasts(session.began, seen, now):
                path.unlink(missing_ok=True)

    def _path(self, token: str) -> Path:
        return self.folder / f"{sha256(token.encode()).hexdigest()}.json"


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
