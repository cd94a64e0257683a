"""``make run``: the whole service, sample studies sent to its own DICOM port, and the worklist as tags land."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from rich.console import Console

from triage.commands.output.console import console_for_people
from triage.decision.types import TriageDecision
from triage.errors import StartError
from triage.listener.address import own_listener
from triage.phantom.samples import SampleFile, real_radiographs, write_phantoms
from triage.queue.score_queue import connect
from triage.runtime.health import is_ready
from triage.runtime.stop_signal import StopSignal
from triage.sender.send import SentFile, send
from triage.service.single_instance import single_instance
from triage.service.store import store_address
from triage.service.supervisor import RunRole, ServiceProcesses, build, forking
from triage.settings.schema import Settings
from triage.spool.open_store import open_store
from triage.spool.store import Store
from triage.spool.usage import HighWater
from triage.worklist.opening import worklist_of

logger = logging.getLogger(__name__)

_START_S = 120.0
_TAGS_S = 300.0
LOST = 1
_ROW = "{:<9}{:<14}{:<13}{:<28}{}"


def run(settings: Settings, environment: Mapping[str, str], run_role: RunRole, ends: bool) -> int:
    """Serve until Ctrl-C, or with ``ends`` until every sample is tagged. Returns the exit status."""
    stopping = StopSignal()
    console = console_for_people()
    spool = open_store(store_address(settings))
    if HighWater(settings.spool.high_water, settings.spool.min_free_bytes).reached(spool):
        raise StartError(
            f"{spool.name} is above its high-water mark, so that no sample would be stored: free some space there, or "
            "see spool.min_free_bytes and spool.high_water"
        )
    with single_instance(spool, "up") as lock:
        service = build(settings, {**for_a_demonstration(settings), **environment}, forking(run_role, lock))
        try:
            service.start()
            _wait_until_ready(settings, service, stopping)
            samples = _samples(environment, settings.spool.path.absolute().parent / "samples")
            lost = _send_and_show(samples, settings, service, spool, stopping, console)
            if ends or stopping.received:
                return LOST if lost else 0
            console.print(
                f"Serving: DICOM {settings.listener.host}:{settings.listener.port} ({settings.listener.ae_title}), "
                f"worklist http://{settings.web.host}:{settings.web.port}/. Ctrl-C ends it."
            )
            while not stopping.received:
                service.watch()
                stopping.wait(0.5)
            return LOST if lost else 0
        finally:
            service.stop()


def for_a_demonstration(settings: Settings) -> dict[str, str]:
    """Return the settings that differ from ``triage up``, unless the environment has others.

    The samples are as old as they are: they count as if they had been taken today. Models that are marked as
    demonstrations decide, unless there is a destination that would be told.
    """
    allow_demo = settings.models.allow_demo or not settings.channels.enabled()
    return {"TRIAGE_DECISION_PRIOR_AFTER_DAYS": "0", "TRIAGE_MODELS_ALLOW_DEMO": str(allow_demo).lower()}


def _samples(environment: Mapping[str, str], folder: Path) -> list[SampleFile]:
    data = environment.get("TRIAGE_DATA")
    if not data:
        return write_phantoms(folder)
    found = real_radiographs(Path(data))
    if not found:
        raise StartError(f"TRIAGE_DATA is {data}, without radiographs as docs/reference/settings.md lays them out")
    return found


def _wait_until_ready(settings: Settings, service: ServiceProcesses, stopping: StopSignal) -> None:
    """Every process says so on its /readyz; the listener's port counts as the last."""
    addresses = [(settings.web.host, settings.web.port)]
    roles = ((settings.listener, settings.listener.process_count), (settings.worker, settings.worker.processes))
    for role, count in roles:
        addresses += [(role.metrics_host, role.metrics_port + index) for index in range(count) if role.metrics_port]
    deadline = time.monotonic() + _START_S
    for host, port in addresses:
        while not stopping.received:
            ready, answer = is_ready(f"http://{host}:{port}/readyz")
            if ready:
                break
            service.watch()
            if time.monotonic() > deadline:
                raise StartError(f"not ready after {_START_S:.0f} s: {answer}")
            stopping.wait(0.1)


def _send_and_show(
    samples: list[SampleFile],
    settings: Settings,
    service: ServiceProcesses,
    spool: Store,
    stopping: StopSignal,
    console: Console,
) -> bool:
    """Send, and print each study when its tag lands. Returns whether any sample is lost."""
    studies, failed = _send(samples, settings)
    for outcome in failed:
        console.print(f"{outcome.path.name} was not stored: {outcome.error}", style="red")
    console.print(f"{len(samples) - len(failed)} objects of {len(studies)} studies sent; their tags as they land:")
    console.print(_ROW.format("PRIORITY", "TAG", "PROBABILITY", "REASONS", "STUDY"))
    deadline = time.monotonic() + _TAGS_S
    with connect(service.redis_url, settings.redis.timeout_s) as client:
        index = worklist_of(spool, client)
        while studies and not stopping.received and time.monotonic() < deadline:
            service.watch()
            for entry in filter(None, map(index.get, list(studies))):
                studies.remove(entry.study_instance_uid)
                console.print(_row(entry), highlight=False)
            stopping.wait(0.1)
    for study in studies:
        console.print(f"{study} has no tag", style="red")
    return bool(failed or studies)


def _send(samples: list[SampleFile], settings: Settings) -> tuple[list[str], list[SentFile]]:
    """Study UIDs of what was stored, in order, and what was not."""
    destination = own_listener(settings.listener, settings.client_certificate, "TRIAGE_DEMO")
    studies: dict[str, None] = {}
    failed: list[SentFile] = []
    for known, group in groupby(samples, key=lambda each: (each.view, each.age)):
        for outcome in send([each.path for each in group], destination, *known):
            if outcome.error:
                failed.append(outcome)
            else:
                studies[outcome.study_instance_uid] = None
    return list(studies), failed


def _row(entry: TriageDecision) -> str:
    probability = "" if entry.probability is None else f"{entry.probability:.3f}"
    return _ROW.format(entry.priority, entry.tag, probability, ", ".join(entry.reasons), entry.study_instance_uid)
