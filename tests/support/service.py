"""Roles of the service as processes of a test's own, and what tests put into their spool."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from tests.support.dicom_peer import data_set_of
from tests.support.wait import wait_for
from triage.dicom.command_set import C_STORE_RQ, Command
from triage.listener.c_store_scp import IncomingObject, receipt_now
from triage.phantom.chest import PhantomSubject, as_dicom, draw, draw_lateral
from triage.queue.score_queue import connect
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.spool.usage import HighWater
from triage.worklist.index import IndexedWorklist

REPOSITORY = Path(__file__).parents[2]
NO_LIMIT = HighWater(1.0, 0)
ROLE = [sys.executable, "-m", "triage.cli"]


@dataclass
class Role:
    """A process that runs."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def terminate(self, timeout_s: float = 60.0) -> int:
        """SIGTERM; the exit status."""
        self.process.terminate()
        return self.process.wait(timeout_s)

    def wait(self, timeout_s: float = 120.0) -> int:
        """The exit status it ends with."""
        return self.process.wait(timeout_s)

    def said(self, text: str) -> bool:
        return text in self.log.read_text()

    def lines(self) -> list[str]:
        """What it has logged."""
        return self.log.read_text().splitlines()


@dataclass
class Roles:
    """Starts roles on one spool and one Redis; ``settings`` are variables."""

    folder: Path
    redis_url: str
    models: Path
    settings: dict[str, str] = field(default_factory=dict)
    started: list[Role] = field(default_factory=list)

    @property
    def spool(self) -> Spool:
        return Spool.open(self.folder / "spool")

    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRIAGE_")}
        return {
            **inherited,
            "TRIAGE_SPOOL_PATH": str(self.folder / "spool"),
            "TRIAGE_SPOOL_MIN_FREE_BYTES": "0",
            "TRIAGE_SPOOL_HIGH_WATER": "1",
            "TRIAGE_REDIS_URL": self.redis_url,
            "TRIAGE_MODELS_PATH": str(self.models),
            "TRIAGE_WORKER_THREADS": "1",
            "TRIAGE_WORKER_DECODE_PROCESSES": "1",
            "TRIAGE_WORKER_METRICS_PORT": "0",
            "TRIAGE_LISTENER_METRICS_PORT": "0",
            "TRIAGE_SWEEP_METRICS_PORT": "0",
            "TRIAGE_SWEEP_INTERVAL_S": "1",
            **self.settings,
        }

    def start(self, *arguments: str, command: Sequence[str] = ROLE) -> Role:
        """Start a role; its log lies beside the spool."""
        log = self.folder / f"{len(self.started)}-{arguments[0]}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, *arguments], env=self.environment(), stdout=output, stderr=subprocess.STDOUT, cwd=REPOSITORY
            )
        role = Role(process, log)
        self.started.append(role)
        return role

    def end(self) -> None:
        for role in self.started:
            if role.process.poll() is None:
                role.process.send_signal(signal.SIGCONT)
                role.kill()


@contextmanager
def roles(folder: Path, redis_url: str, models: Path, **settings: str) -> Iterator[Roles]:
    """Roles that are all ended at the end."""
    Spool.open(folder / "spool")
    running = Roles(folder, redis_url, models, {f"TRIAGE_{name.upper()}": value for name, value in settings.items()})
    try:
        yield running
    except AssertionError as error:
        for role in running.started:
            error.add_note(f"{role.log.name}: {role.log.read_text()[-3000:]}")
        raise
    finally:
        running.end()


@lru_cache(maxsize=32)
def a_chest(number: int = 0, **subject: Any) -> bytes:
    """A small chest phantom as a DICOM file; each number another study."""
    values = {"study": f"study {number}", "accession": f"A{number}", **subject}
    drawn = draw_lateral if values.get("view") == "LL" else draw
    return as_dicom(drawn(number, rows=96, columns=80), PhantomSubject(**values))


def receive(spool: Spool, file: bytes, received_at: float | None = None) -> ReceivedInstance:
    """Put a DICOM file into the spool through the listener's own receive path; no queue is told."""
    dataset = read_bytes(file)
    command = Command(C_STORE_RQ, 1, True, str(dataset.SOPClassUID), str(dataset.SOPInstanceUID))
    receipt = receipt_now("TEST", "CXR_TRIAGE", "127.0.0.1", str(dataset.file_meta.TransferSyntaxUID))
    if received_at is not None:
        receipt = type(receipt)(**{**receipt.__dict__, "received_at": received_at})
    incoming = IncomingObject(spool, command, receipt, NO_LIMIT)
    incoming.write(memoryview(data_set_of(file)))
    stored = incoming.finish()
    assert stored.status == 0x0000
    assert stored.instance is not None
    return stored.instance


def read_bytes(file: bytes) -> Any:
    from io import BytesIO

    from pydicom import dcmread

    return dcmread(BytesIO(file))


def is_done(spool: Spool) -> bool:
    """Whether nothing waits."""
    return not any(spool.waiting())


def assert_one_result_each(spool: Spool, redis_url: str, instances: Sequence[ReceivedInstance]) -> None:
    """Every object is filed in its study, which has one current result that knows it, and the worklist shows that."""
    with connect(redis_url, 5.0) as client:
        index = IndexedWorklist(client)
        wait_for(index.is_built, "the index")
        listed = [entry.study_instance_uid for entry in index.page(None, 10_000, 2e9).entries]
        assert len(listed) == len(set(listed))
        for instance in instances:
            assert spool.find(instance) == spool.filed_path(instance)
            assessed = spool.assessments(instance.study_instance_uid)
            assert [each["content_digest"] for each in assessed].count(instance.content_digest) == 1
            current = spool.decision(instance.study_instance_uid)
            assert current is not None
            entry = index.get(instance.study_instance_uid)
            assert entry is not None
            assert current["revision"] == entry.revision
        assert set(listed) == {instance.study_instance_uid for instance in instances}
    assert is_done(spool)
