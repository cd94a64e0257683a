"""The differences of a bucket and a database, printed for people and for a monitoring job."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from triage.spool.comparing.values import Fault, Finding, LookCounts

_WORDS = {
    Fault.MISSING: "the bucket does not have it",
    Fault.SIZE: "the bucket has another number of bytes",
    Fault.CONTENT: "the bucket gives out other bytes than were acknowledged",
}


@dataclass
class ComparisonTally:
    """The number of differences of each kind, and of the keys without a row that are the only copy."""

    faults: Counter[Fault] = field(default_factory=Counter)
    only_copies: int = 0

    def add(self, finding: Finding) -> None:
        """Count one."""
        self.faults[finding.fault] += 1
        self.only_copies += finding.fault is Fault.UNNAMED and not finding.identity.kept

    @property
    def differ(self) -> bool:
        """True if anything differs."""
        return self.faults.total() > 0


@dataclass
class UnnamedTally:
    """The keys that no row names: how many have a copy under another key, how many do not, and when they were put."""

    only_copies: bool
    copied: int = 0
    alone: int = 0
    size: int = 0
    first: float = 0.0
    last: float = 0.0

    def add(self, finding: Finding) -> None:
        """Count one, if it is such a key."""
        if finding.fault is not Fault.UNNAMED:
            return
        self.first = min(self.first or finding.put_at, finding.put_at)
        self.last = max(self.last, finding.put_at)
        self.copied += finding.identity.kept
        self.alone += not finding.identity.kept
        self.size += finding.size if finding.identity.kept or self.only_copies else 0

    @property
    def removable(self) -> int:
        """The number of those that may go."""
        return self.copied + (self.alone if self.only_copies else 0)


def show_finding(finding: Finding, as_json: bool) -> None:
    """Print one difference, on a line."""
    sys.stdout.write(f"{json.dumps(_record(finding)) if as_json else _line(finding)}\n")


def show_counts(counts: LookCounts, tally: ComparisonTally, as_json: bool) -> None:
    """Print the counts of a comparison that has ended."""
    found = {fault.value: tally.faults[fault] for fault in Fault}
    if as_json:
        looked = {"complete": True, **asdict(counts), **found, "only_copies": tally.only_copies}
        sys.stdout.write(f"{json.dumps(looked)}\n")
        return
    sys.stdout.write(f"{counts.rows} rows and {counts.keys} keys of {counts.size} bytes were compared: ")
    said = ", ".join(f"{number} {fault}" for fault, number in found.items())
    sys.stdout.write(f"{said} ({tally.only_copies} of them the only copy)\n" if tally.differ else "they agree\n")


def show_plan(tally: UnnamedTally) -> None:
    """Print what a removal is about."""
    sys.stdout.write(
        f"{tally.copied + tally.alone} keys that no row names"
        + (f", put from {_moment(tally.first)} to {_moment(tally.last)}" if tally.last else "")
        + f": {tally.copied} objects that the store has under another key, {tally.alone} that it has nowhere else\n"
    )
    if tally.alone and tally.only_copies:
        sys.stdout.write(
            "if the database was restored to a time before they were put, they are all that is here of studies that "
            "were acknowledged: have the PACS send them again first\n"
        )
    sys.stdout.write(f"to remove: {tally.removable} keys, {tally.size} bytes\n")


def _line(finding: Finding) -> str:
    study, sop = finding.identity.study_instance_uid, finding.identity.sop_instance_uid
    named = f"object {sop} of study {study}" if study else sop or "no DICOM object"
    if finding.fault is not Fault.UNNAMED:
        return f"{finding.key}: {_WORDS[finding.fault]}: {named}"
    copy = "the store has it under another key" if finding.identity.kept else "the only copy here"
    return f"{finding.key}: no row names it, put {_moment(finding.put_at)}: {named}, {copy}"


def _record(finding: Finding) -> dict[str, object]:
    at = _moment(finding.put_at) if finding.put_at else None
    return {**asdict(finding.identity), "fault": finding.fault, "key": finding.key, "size": finding.size, "put_at": at}


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
