"""Compares passwords, at a cost that neither the event loop nor a stranger notices."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import time
from collections import OrderedDict
from hashlib import sha256
from typing import Protocol

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from triage.metrics.labels import SignInOutcome
from triage.security import passwords
from triage.security.passwords import Hashed
from triage.security.users import Account, UserError, Users
from triage.web.auth.throttle import Throttle
from triage.web.auth.turns import CrowdedError, PasswordTurns
from triage.web.http.connection_limits import network_of

logger = logging.getLogger(__name__)

_REMEMBERED_S = 600.0
_REMEMBERED = 256


class Note(Protocol):
    """Told of every attempt: the name that was claimed, the address, what became of it, and the identity provider's own
    name for the user. May wait for the disk.
    """

    def __call__(self, name: str, address: str, became: SignInOutcome, subject: str = "", /) -> None: ...


class Comparer:
    """Compares passwords, one after the other and off the event loop: each takes 32 MiB and some tenths of a second.

    Who guesses is told to wait before anything is computed, and waits behind everybody else.
    """

    def __init__(self, users: Users, note: Note) -> None:
        self._users = users
        self._note = note
        self._throttle = Throttle()
        self._turns = PasswordTurns()
        self._begun: dict[bytes, asyncio.Task[Account]] = {}
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, float] = OrderedDict()

    async def open(self, name: str, password: str, address: str) -> Account:
        """The user; HTTPException 401, 429 or 503."""
        account = await run_in_threadpool(found, self._users, name)
        if account is not None and self._was_right(account, password):
            return account
        key = self._key_of("\0".join((name, address, password)))
        if key not in self._begun:  # what a program asks many times at once is compared once
            await self._hold_off(self._throttle.wait_s(name, address), name, address)
            task = asyncio.ensure_future(self._in_turn(account, name, password, address))
            self._begun[key] = task
            task.add_done_callback(lambda done: self._end(key, done))
        return await asyncio.shield(self._begun[key])

    def _end(self, key: bytes, done: asyncio.Task[Account]) -> None:
        del self._begun[key]
        if not done.cancelled():
            done.exception()  # whoever asked may have gone away, and then nobody fetches it

    async def _in_turn(self, account: Account | None, name: str, password: str, address: str) -> Account:
        known = self._throttle.is_known(name, address)
        rank = 0 if known else self._throttle.tries_of(address)
        try:
            async with self._turns.turn(network_of(address), rank, known=known):
                if account is not None and self._was_right(account, password):  # found while we waited
                    return account
                return await self._compare(account, name, password, address)
        except CrowdedError as error:
            raise HTTPException(503, str(error), {"Retry-After": "5"}) from None

    async def _hold_off(self, wait_s: float, name: str, address: str) -> None:
        if wait_s <= 0:
            return
        await run_in_threadpool(self._note, name, address, SignInOutcome.THROTTLED)
        seconds = str(int(wait_s) + 1)
        raise HTTPException(429, f"too many wrong passwords: wait {seconds} s", {"Retry-After": seconds})

    async def _compare(self, account: Account | None, name: str, password: str, address: str) -> Account:
        await self._hold_off(self._throttle.begin(name, address), name, address)
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
        return self._key_of("\0".join((account.name, account.stamp, account.password, password)))

    def _key_of(self, text: str) -> bytes:
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), sha256)


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
