"""Compares passwords, at a cost that neither the event loop nor a stranger notices."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from triage.metrics.labels import SignInOutcome
from triage.security import passwords
from triage.security.passwords import Hashed
from triage.security.users import Account, UserError, Users
from triage.web.auth.throttle import Throttle

logger = logging.getLogger(__name__)

_REMEMBERED_S = 600.0
_REMEMBERED = 256
_WAITING_AT_MOST = 32

Note = Callable[[str, str, SignInOutcome], None]
"""Told of every attempt: the name that was claimed, the address, and what became of it. May wait for the disk."""


class Comparer:
    """Compares passwords, one after the other and off the event loop: each takes 32 MiB and some tenths of a second."""

    def __init__(self, users: Users, note: Note) -> None:
        self._users = users
        self._note = note
        self._throttle = Throttle()
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, float] = OrderedDict()

    async def open(self, name: str, password: str, address: str) -> Account:
        """The user; HTTPException 401, 429 or 503."""
        account = await run_in_threadpool(found, self._users, name)
        if account is not None and self._was_right(account, password):
            return account
        if self._waiting >= _WAITING_AT_MOST:
            raise HTTPException(503, "too many sign in at once: try again", {"Retry-After": "5"})
        self._waiting += 1
        try:
            async with self._turn:
                if account is not None and self._was_right(account, password):  # found while we waited
                    return account
                return await self._compare(account, name, password, address)
        finally:
            self._waiting -= 1

    async def _compare(self, account: Account | None, name: str, password: str, address: str) -> Account:
        if (wait := self._throttle.begin(name, address)) > 0:
            await run_in_threadpool(self._note, name, address, SignInOutcome.THROTTLED)
            seconds = str(int(wait) + 1)
            detail = f"too many wrong passwords: wait {seconds} s"
            raise HTTPException(429, detail, {"Retry-After": seconds})
        kept = passwords.UNKNOWN if account is None else Hashed.parse(account.password)
        matches = await run_in_threadpool(kept.matches, password[: passwords.LONGEST])
        if account is None or not matches or len(password) > passwords.LONGEST:
            await run_in_threadpool(self._note, name, address, SignInOutcome.REFUSED)
            raise HTTPException(401, "name or password is wrong")
        self._throttle.succeeded(name, address)
        if kept.cost != passwords.COST:
            await run_in_threadpool(_upgraded, self._users, account, password)
        else:
            self._remember(account, password)
        await run_in_threadpool(self._note, account.name, address, SignInOutcome.ACCEPTED)
        return account

    def _was_right(self, account: Account, password: str) -> bool:
        """Whether this very password was found right lately, for this very state of the account."""
        until = self._right.get(self._digest(account, password))
        return until is not None and time.monotonic() < until

    def _remember(self, account: Account, password: str) -> None:
        # Programs send it with every request. Neither password nor digest is kept: this key ends with the process.
        self._right[self._digest(account, password)] = time.monotonic() + _REMEMBERED_S
        while len(self._right) > _REMEMBERED:
            self._right.popitem(last=False)

    def _digest(self, account: Account, password: str) -> bytes:
        known = "\0".join((account.name, account.stamp, account.password, password))
        return hmac.digest(self._key, known.encode("utf-8", "surrogatepass"), sha256)


def found(users: Users, name: str) -> Account | None:
    """The user of that name; HTTPException 503 while the file cannot be used."""
    try:
        return users.find(name)
    except (UserError, OSError) as error:
        logger.error("sign-in: %s", error)
        raise HTTPException(503, "the file of users cannot be used: see the log of the web process") from error


def _upgraded(users: Users, account: Account, password: str) -> None:
    try:
        users.upgrade(account, password)
    except (UserError, OSError) as error:
        logger.warning("sign-in: a password could not be kept with today's parameters: %s", error)
