"""What a running service uses, as samples over time, and how it grows."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil

MIB = 1 << 20


@dataclass(frozen=True)
class Sample:
    """At ``at`` seconds: by process name the resident bytes, descriptors and threads; files by folder of the spool."""

    at: float
    memory: dict[str, int]
    descriptors: dict[str, int]
    threads: dict[str, int]
    files: dict[str, int]
    studies: int


@dataclass
class Watch:
    """Samples of the process ``root`` and of all below it, and of a spool."""

    root: psutil.Process
    spool: Path
    began: float = field(default_factory=time.monotonic)
    samples: list[Sample] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)

    def look(self) -> None:
        """Take a sample."""
        memory, descriptors, threads = dict[str, int](), dict[str, int](), dict[str, int]()
        for process in (self.root, *self.root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                name = self._name(process)
                memory[name] = memory.get(name, 0) + process.memory_info().rss
                descriptors[name] = descriptors.get(name, 0) + process.num_fds()
                threads[name] = threads.get(name, 0) + process.num_threads()
        files = {folder.name: _count(folder) for folder in self.spool.iterdir() if folder.is_dir()}
        studies = len(list((self.spool / "studies").glob("*"))) if (self.spool / "studies").exists() else 0
        self.samples.append(Sample(time.monotonic() - self.began, memory, descriptors, threads, files, studies))

    def _name(self, process: psutil.Process) -> str:
        """What it does: the command of ``triage``, with what it has forked under its name."""
        if process.pid not in self.names:
            words = process.cmdline()
            known = [word for word in words if word in ("up", "listen", "work", "web", "sweep", "deliver", "reports")]
            redis = any("redis" in word for word in words)
            self.names[process.pid] = "redis" if redis else known[0] if known else "decoders"
        return self.names[process.pid]


def _count(folder: Path) -> int:
    return sum(1 for path in folder.rglob("*") if path.is_file())


@dataclass(frozen=True)
class Growth:
    """Of one figure: its median in the second third of the time, in the last, and the slope between them an hour."""

    name: str
    middle: float
    end: float
    per_hour: float

    @property
    def grown(self) -> float:
        return self.end - self.middle


def growth(name: str, points: Sequence[tuple[float, float]]) -> Growth:
    """The first third is warm-up: models, caches, pools."""
    third = len(points) // 3
    middle, last = points[third : 2 * third] or points, points[2 * third :] or points
    hours = (median(at for at, _ in last) - median(at for at, _ in middle)) / 3600 or 1.0
    before, after = median(value for _, value in middle), median(value for _, value in last)
    return Growth(name, before, after, (after - before) / hours)


def series(samples: Sequence[Sample], pick: str) -> Mapping[str, list[tuple[float, float]]]:
    """Points over time of each name in the figure ``pick``."""
    found: dict[str, list[tuple[float, float]]] = {}
    for sample in samples:
        for name, value in getattr(sample, pick).items():
            found.setdefault(name, []).append((sample.at, float(value)))
    return found
