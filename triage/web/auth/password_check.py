"""Password verification, off the event loop and with limits on guessing."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from triage.metrics.labels import SignInOutcome
from triage.security import passwords
from triage.security.passwords import PasswordHash
from triage.security.users import Account, UserError, Users, UsersAwayError
from triage.web.auth.away import AccessAwayError
from triage.web.auth.password_queue import PasswordQueue, QueueFullError
from triage.web.auth.sign_in_event import SignInEvent, SignInRecorder
from triage.web.auth.throttle import Standing, Throttle
from triage.web.http.connection_limits import network_of

logger = logging.getLogger(__name__)

_CACHED_S = 600.0
_LARGEST_CACHE = 256


@dataclass(frozen=True)
class Credentials:
    """Name and password of an attempt, and its address."""

    name: str
    password: str
    address: str


class PasswordVerifier:
    """Verifies passwords one at a time: each takes 32 MiB and some tenths of a second.

    After wrong passwords, further attempts are refused before anything is computed, and queue behind all others.
    """

    def __init__(self, users: Users, throttle: Throttle, record: SignInRecorder) -> None:
        self._users = users
        self._throttle = throttle
        self._record = record
        self._queue = PasswordQueue()
        self._running: dict[bytes, asyncio.Task[Account]] = {}
        self._key = secrets.token_bytes(32)
        self._verified: OrderedDict[bytes, float] = OrderedDict()

    async def verify(self, given: Credentials) -> Account:
        """Return the user with these credentials. Raises HTTPException 401, 429 or 503."""
        account = await run_in_threadpool(find_account, self._users, given.name)
        if account is not None and self._is_cached(account, given.password):
            return account
        key = self._digest(given.name, given.address, given.password)
        if key not in self._running:  # equal requests at the same time are verified once
            standing = await run_in_threadpool(self._throttle.standing, given.name, given.address)
            await self._hold_off(standing.wait_s, given)
            if key not in self._running:
                task = asyncio.ensure_future(self._in_turn(account, given, standing))
                self._running[key] = task
                task.add_done_callback(lambda done: self._finished(key, done))
        return await asyncio.shield(self._running[key])

    def _finished(self, key: bytes, done: asyncio.Task[Account]) -> None:
        del self._running[key]
        if not done.cancelled():
            done.exception()  # retrieve it: the client may have gone away, and asyncio would log it

    async def _in_turn(self, account: Account | None, given: Credentials, standing: Standing) -> Account:
        rank = 0 if standing.known else standing.tries
        try:
            async with self._queue.slot(network_of(given.address), rank, known=standing.known):
                if account is not None and self._is_cached(account, given.password):  # verified meanwhile
                    return account
                return await self._compare(account, given)
        except QueueFullError as error:
            raise HTTPException(503, str(error), {"Retry-After": "5"}) from None

    async def _hold_off(self, wait_s: float, given: Credentials) -> None:
        if wait_s <= 0:
            return
        await self._attempted(given, SignInOutcome.THROTTLED)
        seconds = str(int(wait_s) + 1)
        raise HTTPException(429, f"too many wrong passwords: wait {seconds} s", {"Retry-After": seconds})

    async def _compare(self, account: Account | None, given: Credentials) -> Account:
        await self._hold_off(await run_in_threadpool(self._throttle.begin, given.name, given.address), given)
        stored = passwords.UNKNOWN if account is None else PasswordHash.parse(account.password)
        matches = await run_in_threadpool(stored.matches, given.password[: passwords.LONGEST])
        if account is None or not matches or len(given.password) > passwords.LONGEST:
            await self._attempted(given, SignInOutcome.REFUSED)
            raise HTTPException(401, "name or password is wrong")
        await run_in_threadpool(self._throttle.succeeded, given.name, given.address)
        if stored.cost != passwords.COST:
            await run_in_threadpool(_upgrade, self._users, account, given.password)
        else:
            self._cache(account, given.password)
        await run_in_threadpool(self._record, SignInEvent(account.name, given.address, SignInOutcome.ACCEPTED))
        return account

    async def _attempted(self, given: Credentials, outcome: SignInOutcome) -> None:
        await run_in_threadpool(self._record, SignInEvent(given.name, given.address, outcome))

    def _is_cached(self, account: Account, password: str) -> bool:
        """Return True if this password was verified lately for this state of the account."""
        until = self._verified.get(self._account_digest(account, password))
        return until is not None and time.monotonic() < until

    def _cache(self, account: Account, password: str) -> None:
        # Programs send it with every request. The cache holds no password, and the key of its digests ends with the
        # process.
        self._verified[self._account_digest(account, password)] = time.monotonic() + _CACHED_S
        while len(self._verified) > _LARGEST_CACHE:
            self._verified.popitem(last=False)

    def _account_digest(self, account: Account, password: str) -> bytes:
        return self._digest(account.name, account.stamp, account.password, password)

    def _digest(self, *parts: str) -> bytes:
        return hmac.digest(self._key, "\0".join(parts).encode("utf-8", "surrogatepass"), sha256)


def find_account(users: Users, name: str) -> Account | None:
    """Return the user of that name, or None. Raises HTTPException 503 while their place cannot be used."""
    try:
        return users.find(name)
    except UsersAwayError as error:
        logger.error("sign-in: %s", error)
        raise AccessAwayError from error
    except (UserError, OSError) as error:
        logger.error("sign-in: %s", error)
        raise HTTPException(503, f"{users.place} cannot be used: see the log of the web process") from error


def _upgrade(users: Users, account: Account, password: str) -> None:
    try:
        users.upgrade(account, password)
    except (UserError, OSError) as error:
        logger.warning("sign-in: a password could not be hashed with the current parameters: %s", error)
