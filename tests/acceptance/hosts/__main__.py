"""``make acceptance-hosts``: three hosts, a seed, and what they are worth."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.acceptance.hosts.checks import Verdict, expected, judge, log_lines
from tests.acceptance.hosts.costs import Watched, judge_costs
from tests.acceptance.hosts.events import drawn
from tests.acceptance.hosts.objects import studies
from tests.acceptance.hosts.pacs import Pacs
from tests.acceptance.hosts.trial import CLOCKS, Happened, Trial, new_ris, new_trial, running
from tests.acceptance.hosts.watches import LeaderWatch
from tests.support.wait import wait_for

_SENDERS = 4
_STUDIES_AN_EVENT = 60
_AT_LEAST_S = 8.0
"""Seconds of sending for an event, of those that last no time too: so that objects come through all of them."""


def main() -> int:
    """Run a trial. The status is 0 if nothing was lost, doubled, changed or wrongly tagged, and no defect logged."""
    arguments = _parser().parse_args()
    trial, verdict = new_trial(arguments.prefix, arguments.work, arguments.weed, arguments.seed), Verdict()
    print(f"SEED={arguments.seed} STUDIES={arguments.studies}", flush=True)  # noqa: T201
    try:
        _run(trial, arguments, verdict)
    finally:
        _keep_logs(trial, arguments.out.parent / "hosts-logs")
    for name, lines in log_lines(trial).items():
        verdict.faults.append(f"the log of {name} has a defect of ours: {lines[:2]}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    record = {"commit": _commit(), "seed": arguments.seed, **verdict.figures, "faults": verdict.faults}
    arguments.out.write_text(json.dumps(record, indent=1) + "\n")
    _print(record)
    return min(len(verdict.faults), 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests/acceptance/hosts.sh", description=__doc__)
    parser.add_argument("--prefix", required=True, help="of the network namespaces")
    parser.add_argument("--work", type=Path, required=True, help="the folder of all hosts")
    parser.add_argument("--weed", required=True, help="the program of SeaweedFS")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--events", type=int, default=0, help="0: by the number of studies")
    parser.add_argument("--of", default="", help="words of the events that happen alone, with | between")
    parser.add_argument("--out", type=Path, default=Path("var/hosts.json"))
    return parser


def _run(trial: Trial, arguments: argparse.Namespace, verdict: Verdict) -> None:
    outgoing = [each for study in studies(arguments.seed, arguments.studies) for each in study]
    count = arguments.events or max(2, arguments.studies // _STUDIES_AN_EVENT)
    events = drawn(arguments.seed, count, arguments.of)
    pacs = trial.pacs
    pacs.every_s = sum(max(each.at_least_s + each.seconds, _AT_LEAST_S) for each in events) / len(outgoing)
    with running(trial) as results:
        said = expected(trial, arguments.work)
        leaders, ris = LeaderWatch(trial.service.leads), new_ris(trial, results, outgoing)
        begun = time.monotonic()
        for each in (leaders, trial.work, ris):
            each.start()
        try:
            pacs.start(outgoing, _SENDERS)
            happened = list(trial.happen(events, len(outgoing)))
            wait_for(lambda: pacs.is_done, "every object to be acknowledged", 1200.0)
            pacs.end()
            verdict.figures |= _figures(pacs, happened, begun, trial)
            judge(trial, pacs, results, ris, said, verdict)
        finally:
            for each in (pacs, leaders, trial.work, ris):
                each.end()
        judge_costs(trial, pacs, results, Watched(leaders, trial.work), verdict)
        verdict.figures["seconds"] = round(time.monotonic() - begun)
        statuses = trial.end()
    bad = {name: status for name, status in statuses.items() if status}
    verdict.expect(not bad, f"units that did not end in order after SIGTERM: {bad}")


def _figures(pacs: Pacs, happened: list[Happened], begun: float, trial: Trial) -> dict[str, Any]:
    return {
        "events": [asdict(each) for each in happened],
        "clocks_s": CLOCKS,
        "tries": pacs.tries,
        "refused": dict(pacs.refusals),
        "seconds_of_sending": round(time.monotonic() - begun),
        "longest_without_acknowledgement_s": round(pacs.longest_silence(begun, time.monotonic()), 1),
        "starts": {name: unit.starts for name, unit in trial.units.all.items() if unit.starts > 1},
    }


def _keep_logs(trial: Trial, folder: Path) -> None:
    """What each process logged, for whoever asks why."""
    shutil.rmtree(folder, ignore_errors=True)
    for host in trial.hosts.values():
        target = folder / host.name
        target.mkdir(parents=True)
        for log in [*host.folder.glob("*.log"), *host.folder.glob("database/log")]:
            shutil.copy(log, target / log.name)


def _commit() -> str:
    said = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return said.stdout.strip()


def _print(record: dict[str, Any]) -> None:
    row = (
        "{at_s:8.1f} {lasted_s:7.1f} {whole_after_s:7.1f} {refused:8} {acknowledged:8} {longest_silence_s:8.1f}  {name}"
    )
    print("   at s  lasted   whole  refused   stored  silence  event")  # noqa: T201
    for each in record.get("events", []):
        print(row.format(**each))  # noqa: T201
    for name, value in record.items():
        if name != "events":
            print(f"{name}: {value}")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
