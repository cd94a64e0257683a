"""The processes of `triage up`: what each is started with, and how they are watched, restarted and stopped."""

from __future__ import annotations

import logging
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from redis import Redis
from redis.exceptions import RedisError

from triage.channels.ups.settings import UPSDestination
from triage.errors import EXIT_CANNOT_START, EXIT_TRY_AGAIN, StartError
from triage.runtime.forked import end_with_parent, fork, load
from triage.service import embedded_redis
from triage.service.redis_address import address_of
from triage.settings.schema import Settings

logger = logging.getLogger(__name__)

_LONGEST_DELAY_S = 30.0
_CALM_S = 60.0  # a process that ran this long starts again without delay
_AT_ONCE_S = 5.0  # one that is to be tried again starts at once if it ran this long: it did not end for that reason
_REDIS_START_S = 60.0

_CODE = {
    "work": ("triage.service.work", "triage.scoring.assess", "triage.canary.wiring"),
    "sweep": ("triage.service.sweep", "triage.delivery.deliverer"),
    "web": ("triage.service.web", "triage.web.server"),
    "listen": ("triage.service.listen", "triage.listener.server"),
}
"""The code of each process, loaded here before it is forked, and shared in memory by those that follow (ADR 57).

ONNX Runtime is not in it: it has threads, and a process with threads cannot be forked."""


class SupervisedProcess(Protocol):
    """A started process: ``subprocess.Popen``, or ``ForkedProcess``."""

    @property
    def pid(self) -> int:
        """Its process ID."""

    def poll(self) -> int | None:
        """Return its exit status, negative for a signal; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit status when it has ended. Raises subprocess.TimeoutExpired after ``timeout`` seconds."""

    def terminate(self) -> None:
        """Send SIGTERM."""

    def kill(self) -> None:
        """Send SIGKILL."""


RunRole = Callable[[Mapping[str, str], list[str]], object]
"""Runs `triage` with this environment and these words in this process, and ends it by SystemExit."""
StartRole = Callable[[Mapping[str, str], list[str]], SupervisedProcess]
"""Starts such a process."""


def execute(command: list[str]) -> SupervisedProcess:
    """Start a program of others; the kernel sends it SIGTERM if this process dies. Raises OSError."""
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches this process alone, which stops the others in order
        preexec_fn=partial(end_with_parent, os.getpid()),
    )


@dataclass
class Child:
    """One supervised process, and when it is started again."""

    name: str
    command: list[str]
    begin: Callable[[list[str]], SupervisedProcess] = execute
    process: SupervisedProcess | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    delay_s: float = 1.0
    ran_before: bool = False

    def start(self) -> None:
        """Start it; the kernel sends it SIGTERM if this process dies. Raises OSError."""
        self.process = self.begin(self.command)
        self.started_at = time.monotonic()

    def watch(self) -> None:
        """Start it when it is due, and notice its end. Raises StartError if its first start ends with status 78."""
        if self.process is None:
            self._start_if_due()
            return
        status = self.process.poll()
        if status is None:
            return
        self.process = None
        if status == EXIT_TRY_AGAIN and time.monotonic() - self.started_at >= _AT_ONCE_S:
            self._start_at_once()
            return
        if status == EXIT_CANNOT_START and not self.ran_before:
            raise StartError(f"{self.name} cannot start: see its message above")
        # After the first start the others go on without it: above all, the listener goes on to receive.
        self._start_later(f"ended with status {status}")

    def _start_if_due(self) -> None:
        if time.monotonic() < self.start_at:
            return
        try:
            self.start()
        except OSError as error:  # the system is out of memory or processes
            self._start_later(f"could not be started: {error}")

    def _start_at_once(self) -> None:
        """Start it again without delay: it did nothing wrong. Most often another host leads, and it is to stand by."""
        logger.warning(
            "%s ended with status %d, as its message above says; starting it again", self.name, EXIT_TRY_AGAIN
        )
        self.ran_before, self.start_at = True, 0.0

    def _start_later(self, why: str) -> None:
        now = time.monotonic()
        self.ran_before = True
        self.delay_s = 1.0 if now - self.started_at > _CALM_S else min(self.delay_s * 2, _LONGEST_DELAY_S)
        self.start_at = now + self.delay_s
        logger.error("%s %s; starting it again in %.0f s", self.name, why, self.delay_s)

    def terminate(self) -> None:
        """Send SIGTERM, once: a second one might mean something else."""
        if self.process is not None:
            self.process.terminate()

    def wait(self, grace_s: float) -> None:
        """Wait for its end; send SIGKILL after ``grace_s`` seconds."""
        if self.process is None:
            return
        try:
            self.process.wait(grace_s)
        except subprocess.TimeoutExpired:
            logger.error(
                "%s did not end within %.0f s: killing it; another process takes up its work", self.name, grace_s
            )
            self.process.kill()
            self.process.wait()
        self.process = None


@dataclass
class ServiceProcesses:
    """All processes, in the order in which they start: Redis if it is ours, workers, and what others call."""

    redis: Child | None
    workers: list[Child]
    listeners: list[Child]
    redis_url: str
    grace_s: float
    children: list[Child] = field(init=False)

    def __post_init__(self) -> None:
        self.children = [*([self.redis] if self.redis else []), *self.workers, *self.listeners]

    def start(self) -> None:
        """Start Redis, and when it answers the rest."""
        if self.redis:
            self.redis.start()
            load(_CODE["work"])  # which takes longer than Redis
            _wait_for_redis(self.redis_url, self.redis)
        for child in [*self.workers, *self.listeners]:
            child.start()

    def watch(self) -> None:
        """Check every process once."""
        for child in self.children:
            child.watch()

    def stop(self) -> None:
        """Stop first what others call, all at once, so that what is acknowledged last is still queued; Redis last."""
        for group in (self.listeners, self.workers, [self.redis] if self.redis else []):
            for child in group:
                child.terminate()
            for child in group:
                child.wait(self.grace_s)


def build(settings: Settings, environment: Mapping[str, str], start: StartRole) -> ServiceProcesses:
    """Return the processes that the settings ask for, none of them started. Raises StartError.

    ``start`` starts a command of `triage` (``forking``) in ``environment``, to which the address of Redis is added.
    """
    url = address_of(settings.redis)
    embedded = not url
    if embedded and settings.store.kind != "files":
        raise StartError(
            f"store.kind = {settings.store.kind} needs redis.url: queue and list are in one Redis that all hosts "
            "reach, and each would start one of its own"
        )
    child_environment = dict(environment)
    if embedded:
        # Only of the embedded one: processes read a named address from the settings themselves, with its password.
        url = child_environment["TRIAGE_REDIS_URL"] = embedded_redis.embedded_url(settings.redis.socket_path)
    looks = any(each.look_s for each in settings.channels.of_type(UPSDestination))
    workers = {
        "work": settings.worker.processes,
        "sweep": 1,
        "deliver": int(bool(settings.channels.enabled()) or settings.paging.on),
    }
    listeners = {
        "web": 1,
        "reports": int(bool(settings.reports.port) or looks),
        "listen": settings.listener.process_count,
    }
    children = partial(_children, begin=partial(start, child_environment))
    redis = None
    if embedded:
        command = embedded_redis.command(settings.redis.socket_path, environment.get("PATH", os.defpath))
        redis = Child("redis", command)
    return ServiceProcesses(
        redis=redis,
        workers=[child for name, count in workers.items() for child in children(name, count)],
        listeners=[child for name, count in listeners.items() for child in children(name, count)],
        redis_url=url,
        grace_s=settings.listener.drain_s + settings.listener.shutdown_grace_s + 30.0,
    )


def _children(name: str, count: int, begin: Callable[[list[str]], SupervisedProcess]) -> list[Child]:
    of = ["--of", str(count)] if name == "listen" and count > 1 else []
    return [Child(f"{name} {index}", [name, "--index", str(index), *of], begin) for index in range(count)]


def forking(run_role: RunRole, lock: int) -> StartRole:
    """Return what starts a command in a forked child.

    Args:
        run_role: Runs it there.
        lock: Descriptor of the lock that this process holds and its children must not keep; -1 if it has none.
    """
    ours = (lock,) if lock >= 0 else ()

    def start(environment: Mapping[str, str], words: list[str]) -> SupervisedProcess:
        load(_CODE.get(words[0], ()))
        return fork(partial(run_role, environment), words, close=ours)

    return start


def _wait_for_redis(url: str, child: Child) -> None:
    deadline = time.monotonic() + _REDIS_START_S
    while True:
        try:
            with Redis.from_url(url) as client:
                client.ping()
            return
        except RedisError as error:
            if child.process is not None and child.process.poll() is not None:
                raise StartError("the embedded Redis ended at once: see its message above") from error
            if time.monotonic() > deadline:
                raise StartError(f"the embedded Redis does not answer on its socket: {error}") from error
            time.sleep(0.05)
