"""Models and settings that decide in the workers of several hosts: each host has its own, and these may differ.

A worker announces them by part and name, each in a short form that tells it from another one. The sweep that leads and
``triage hosts`` compare the forms.
"""

from __future__ import annotations

import json
import socket
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any

from triage.model.card import ModelCard
from triage.spool.entries import Entries
from triage.spool.store import Store

_PLACE = "models-in-work"
"""The name is that of a release that compared models alone: its sweep may lead during an upgrade."""
_LONGEST_FORM = 60


class Part(StrEnum):
    """A part of what decides."""

    MODELS = "models"
    OPERATING_POINTS = "operating_points"
    PRIORITIES = "priorities"
    IMAGES = "images"
    CASES = "cases"
    DESTINATIONS = "destinations"
    PROGRAM = "program"

    @property
    def words(self) -> str:
        """The part for people."""
        return self.value.replace("_", " ")


Forms = Mapping[str, Mapping[str, str]]
"""Forms by part and name."""


@dataclass(frozen=True)
class HostAtWork:
    """One worker: its name, its host, and what decides there."""

    worker: str
    host: str
    parts: Forms


@dataclass(frozen=True)
class Difference:
    """One thing of a part that not all workers have in the same form: the hosts by form; an empty form is none."""

    part: Part
    name: str
    hosts: Mapping[str, tuple[str, ...]]

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.name}: " + "; ".join(
            f"{form or 'none'} on {', '.join(hosts)}" for form, hosts in sorted(self.hosts.items())
        )


@dataclass(frozen=True)
class ComparedPart:
    """One part of what decides, compared among workers. ``announced``: one of them has said what it has of it."""

    part: Part
    announced: bool
    differences: tuple[Difference, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The result for people: each difference, or that there is none."""
        return tuple(map(str, self.differences)) or ("the same on all",)


def form_of(card: ModelCard) -> str:
    """Return what tells a model from another one of its name: its version, and a digest of card and weights."""
    return f"{card.version} ({_digest(card.model_dump_json())})"


def form_of_value(value: object) -> str:
    """Return a value of the settings (of JSON) in one line: itself where it is short, else a digest.

    The order of a list counts for nothing: no setting that decides is an order.
    """
    text = json.dumps(_sorted(value), sort_keys=True, ensure_ascii=False)
    if len(text) <= _LONGEST_FORM:
        return text
    number = f"{len(value)} entries " if isinstance(value, list | tuple) else ""
    return f"{number}({_digest(text)})"


def announce(store: Store, worker: str, parts: Forms) -> None:
    """Note what decides in a worker. Raises OSError."""
    entries = store.entries(_PLACE)
    entries.prepare()
    rules = {part: dict(forms) for part, forms in parts.items() if part != Part.MODELS}
    record = {"host": socket.gethostname(), "models": dict(parts.get(Part.MODELS, {})), "rules": rules}
    entries.put(worker, json.dumps(record))


def forget_ended(store: Store) -> None:
    """Remove what workers announced that live no more. Raises OSError."""
    entries = store.entries(_PLACE)
    for worker in entries.names():
        if not store.workers.is_alive(worker):
            entries.remove(worker)


def at_work(store: Store) -> list[HostAtWork]:
    """Return what workers have announced, by host. Raises OSError."""
    return sorted(_announced(store.entries(_PLACE)), key=lambda each: (each.host, each.worker))


def compared(workers: list[HostAtWork]) -> list[ComparedPart]:
    """Return each part, with what workers have in different forms, by name.

    A part that one of them did not announce is not compared with it: it is of an earlier release.
    """
    known = {part: [each for each in workers if part in each.parts] for part in Part}
    return [ComparedPart(part, bool(having), tuple(_of_part(part, having))) for part, having in known.items()]


def differences(workers: list[HostAtWork]) -> list[Difference]:
    """Return what workers have in different forms, by part and name."""
    return [each for part in compared(workers) for each in part.differences]


def _of_part(part: Part, workers: list[HostAtWork]) -> Iterator[Difference]:
    for name in sorted({name for each in workers for name in each.parts[part]}):
        hosts = defaultdict[str, set[str]](set)
        for each in workers:
            hosts[each.parts[part].get(name, "")].add(each.host)
        if len(hosts) > 1:
            yield Difference(part, name, {form: tuple(sorted(of)) for form, of in hosts.items()})


def _announced(entries: Entries) -> Iterator[HostAtWork]:
    for worker in entries.names():
        try:
            record = json.loads(entries.get(worker))
            parts = {Part.MODELS.value: record["models"], **record.get("rules", {})}
            yield HostAtWork(worker, str(record["host"]), {part: _texts(forms) for part, forms in parts.items()})
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):  # removed, or of another release
            continue


def _texts(forms: Mapping[Any, object]) -> dict[str, str]:
    return {str(name): str(form) for name, form in forms.items()}


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return {name: _sorted(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return sorted(map(_sorted, value), key=lambda each: json.dumps(each, sort_keys=True))
    return value


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12]
