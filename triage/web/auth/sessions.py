"""Sessions of people who signed in: a file for each, beside the users', so that a restart ends none.

The browser has a random token in a cookie; the file is named by the token's digest, so that whoever reads the folder
cannot take up a session. Its time of modification is when the person last did something.
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
_SEEN_EVERY_S = 20.0
_CLOCK_MAY_GO_BACK_S = 60.0


@dataclass(frozen=True)
class Provided:
    """What an identity provider said of somebody who signed in there."""

    role: str
    id_token: str  # shown to the provider at signing out, and to nobody else


@dataclass(frozen=True)
class SignedInSession:
    """Who signed in, as of which state of his or her account, and when (POSIX seconds). ``provided``: None for users
    of our own.
    """

    user: str
    stamp: str
    began: float
    provided: Provided | None = None


@dataclass(frozen=True)
class Sessions:
    """The sessions in a folder. Safe to share between threads and processes."""

    folder: Path
    idle_s: float
    longest_s: float
    now: Callable[[], float] = field(default=time.time)

    def begin(self, user: str, stamp: str, provided: Provided | None = None) -> str:
        """A new session; its token, that only the browser has. Raises OSError."""
        private_folder(self.folder)
        self._remove_ended()
        token = secrets.token_urlsafe(32)
        path = self._path(token)
        kept = {"user": user, "stamp": stamp, "began": self.now()}
        write_durably(path, json.dumps(kept if provided is None else {**kept, "provided": asdict(provided)}))
        os.utime(path, (self.now(), self.now()))
        return token

    def find(self, token: str, *, active: bool) -> SignedInSession | None:
        """The session of a token, unless it has ended; ``active``: a person did something now."""
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
        if active and now - seen > _SEEN_EVERY_S:
            with suppress(OSError):  # a full disk must not sign people out, and another process may have ended it
                os.utime(path, (now, now))
        return session

    def end(self, token: str) -> None:
        """End a session: nobody can take it up again."""
        if _TOKEN.fullmatch(token):
            self._path(token).unlink(missing_ok=True)

    def _lasts(self, began: float, seen: float, now: float) -> bool:
        return (
            began - _CLOCK_MAY_GO_BACK_S <= now < began + self.longest_s
            and seen - _CLOCK_MAY_GO_BACK_S <= now < seen + self.idle_s
        )

    def _remove_ended(self) -> None:
        now = self.now()
        for path in self.folder.glob("*.json"):
            session, seen = _read(path)
            if session is None or not self._lasts(session.began, seen, now):
                path.unlink(missing_ok=True)

    def _path(self, token: str) -> Path:
        return self.folder / f"{sha256(token.encode()).hexdigest()}.json"


def _read(path: Path) -> tuple[SignedInSession | None, float]:
    """The session in a file, and when its person last did something; None for none, and for a file that is damaged."""
    try:
        with path.open("rb") as file:
            seen = os.fstat(file.fileno()).st_mtime
            kept = json.loads(file.read())
        provided = kept.pop("provided", None)
        return SignedInSession(**kept, provided=None if provided is None else Provided(**provided)), seen
    except FileNotFoundError:
        return None, 0.0
    except (ValueError, TypeError, AttributeError):
        return None, 0.0
