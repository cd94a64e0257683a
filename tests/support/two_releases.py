"""Programs of other releases, each a tree of its own, and hosts that are brought from one to the next under load."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom import dcmread

from tests.support.later_release import widening
from tests.support.load_behind_haproxy import Sender, balancer, telling, told
from tests.support.model_folders import write_model
from tests.support.ports import free_port
from tests.support.receivers import store_scp
from tests.support.service import REPOSITORY
from tests.support.shared_service import SharedService
from tests.support.tcp_proxy import running, states
from tests.support.wait import wait_for
from tests.support.whole_service import TRIAGE
from triage.spool.cluster.address import ClusterAddress

_MIGRATIONS = Path("triage/spool/cluster/migrations")
_DRAIN_S = 8
"""Seconds that HAProxy has to look: on a busy machine it takes longer."""
_START_S = 600.0
_RUN = "PYTHONPATH={folder} PYTHONSAFEPATH=1 exec {python} -m triage.cli"


def release_of_commit(commit: str, folder: Path) -> Path:
    """The program of a commit of this repository, in ``folder``."""
    folder.mkdir()
    archive = subprocess.run(
        ["git", "archive", commit, "triage"], cwd=REPOSITORY, capture_output=True, check=True, timeout=60
    )
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True, timeout=60)
    return _program(folder)


def later_release(folder: Path) -> Path:
    """This program, with one more migration, in ``folder``."""
    shutil.copytree(REPOSITORY / "triage", folder / "triage", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(folder / _MIGRATIONS)
    widening(folder / _MIGRATIONS)
    return _program(folder)


def _program(folder: Path) -> Path:
    """The command ``triage`` of a tree, run by this Python."""
    program = folder / "triage.sh"
    command = _RUN.format(folder=folder, python=sys.executable)
    program.write_text(f'#!/bin/sh\n{command} "$@"\n')
    program.chmod(0o755)
    said = subprocess.run(
        ["sh", "-c", f"cd / && {command.replace('-m triage.cli', '-c')} 'import triage; print(triage.__file__)'"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert Path(said.stdout.strip()).is_relative_to(folder), said.stdout
    return program


@dataclass
class Site:
    """Two hosts behind HAProxy, DCMTK that sends to them, and the PACS that is told."""

    folder: Path
    hosts: Sequence[SharedService]
    senders: Sequence[Sender]
    pacs: list[bytes]
    present: Path
    """The program of this release."""

    def stop(self, number: int) -> None:
        """Stop a host in order while studies come."""
        self.all_up()
        assert self.hosts[number].stop() == 0
        self.senders[0].send_some()

    def start(self, number: int, program: Path | None = None) -> None:
        """Start a host, with a program of another release if it is given, and have studies sent to both."""
        host = self.hosts[number]
        host.program = program or host.program
        host.start()
        self.all_up()
        self.senders[1].send_some()

    def all_up(self) -> None:
        """Wait until HAProxy sends to each."""
        wait_for(lambda: set(states(self.folder)) == {"UP"}, "both listeners to be seen by HAProxy", 120.0)

    def works(self, number: int) -> None:
        """Wait until a host has received and decided more than it has now."""
        host = self.hosts[number]
        for name in ("objects_received_total", "study_decisions_total"):
            before = host.counted(name)
            wait_for(lambda name=name, before=before: host.counted(name) > before, f"host {number}: {name}", 180.0)

    def refused(self) -> list[str]:
        """What was answered to studies that were not taken."""
        return [said for each in self.senders for said in each.answers.values() if "Success" not in said]

    def sent(self) -> set[str]:
        """The studies that were sent."""
        return {uid for each in self.senders for uid in each.answers}

    def reports(self) -> dict[str, set[str]]:
        """The SOP Instance UIDs of the reports that the PACS got, by study."""
        found: dict[str, set[str]] = {}
        for each in [dcmread(BytesIO(content), force=True) for content in list(self.pacs)]:
            found.setdefault(str(each.StudyInstanceUID), set()).add(str(each.SOPInstanceUID))
        return found

    def is_whole(self) -> None:
        """Wait until every study is decided and its report with the PACS; each has one image, and one result.

        What a worker that stood still had in hand is scored again: a decision more with the same tag, and a report of
        it. There are no more reports than decisions.
        """
        store, sent = self.hosts[0].spool, self.sent()
        for study in sent:
            wait_for(lambda study=study: store.decision(study), f"{study} to be decided", 300.0)
        wait_for(lambda: sent <= told(self.pacs), "all to be delivered", 300.0)
        wait_for(lambda: not any(store.waiting()), "the inbox to be empty", 120.0)
        reports = self.reports()
        assert [study for study in sent if len(store.assessments(study)) != 1] == []
        assert [study for study in sent if len({each["tag"] for each in store.history(study)}) != 1] == []
        assert [study for study in sent if len(reports[study]) > len(store.history(study))] == []


@contextmanager
def site(folder: Path, addresses: Sequence[ClusterAddress], redis_url: str, program: Path | None) -> Iterator[Site]:
    """Two hosts that run, of a release if its program is given, while studies are sent to them."""
    write_model(folder / "models", "tiny-adult", bias=-10)
    port = free_port()
    with ExitStack() as stack:
        pacs = stack.enter_context(store_scp())
        hosts = []
        for address in addresses:
            settings = {**telling(redis_url, pacs.port), "listener_drain_s": _DRAIN_S}
            host = SharedService(address.scratch.parent / "var", folder / "models", address, **settings)
            host.program, host.start_s = program or host.program, _START_S
            hosts.append(stack.enter_context(host))
        stack.enter_context(running(folder, balancer(hosts, port)))
        senders = [Sender(port, folder, first=10_000 * (number + 1)) for number in range(2)]
        made = Site(folder, hosts, senders, pacs.received, TRIAGE)
        try:
            made.all_up()
            with senders[0].sending(), senders[1].sending():
                yield made
            made.is_whole()
        except AssertionError as error:
            for each in hosts:
                error.add_note(each.log()[-4000:])
            raise
