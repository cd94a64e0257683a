"""The models that workers of several hosts work with: each host has its own folder of models, and these may differ."""

from __future__ import annotations

import json
import socket
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

from triage.model.card import ModelCard
from triage.spool.entries import Entries
from triage.spool.store import Store

_PLACE = "models-in-work"


@dataclass(frozen=True)
class DifferingModel:
    """A model that not all workers have in the same form: the hosts by form; none is the form of a missing one."""

    name: str
    hosts: Mapping[str, tuple[str, ...]]

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.name}: " + "; ".join(
            f"{form or 'none'} on {', '.join(hosts)}" for form, hosts in sorted(self.hosts.items())
        )


def form_of(card: ModelCard) -> str:
    """Return what tells a model from another one of its name: its version, and a digest of card and weights."""
    return f"{card.version} ({sha256(card.model_dump_json().encode()).hexdigest()[:12]})"


def announce(store: Store, worker: str, forms: Mapping[str, str]) -> None:
    """Note the models that a worker works with, by name. Raises OSError."""
    entries = store.entries(_PLACE)
    entries.prepare()
    entries.put(worker, json.dumps({"host": socket.gethostname(), "models": dict(forms)}))


def forget_ended(store: Store) -> None:
    """Remove what workers announced that live no more. Raises OSError."""
    entries = store.entries(_PLACE)
    for worker in entries.names():
        if not store.workers.is_alive(worker):
            entries.remove(worker)


def differing(store: Store) -> list[DifferingModel]:
    """Return the models that workers have in different forms, by name. Raises OSError."""
    found = list(_announced(store.entries(_PLACE)))
    names = sorted({name for _, models in found for name in models})
    differing = []
    for name in names:
        hosts = defaultdict[str, set[str]](set)
        for host, models in found:
            hosts[models.get(name, "")].add(host)
        if len(hosts) > 1:
            differing.append(DifferingModel(name, {form: tuple(sorted(of)) for form, of in hosts.items()}))
    return differing


def _announced(entries: Entries) -> Iterator[tuple[str, dict[str, str]]]:
    for worker in entries.names():
        try:
            record = json.loads(entries.get(worker))
            yield str(record["host"]), {str(name): str(form) for name, form in record["models"].items()}
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):  # removed, or of another release
            continue
