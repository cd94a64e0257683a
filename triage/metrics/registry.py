"""Metric families: each is one line in the class of the process that exports it.

A class of families (``MetricGroup``) is the only list of them: constructing it registers every family that it declares,
and docs/reference/metrics.md is generated from the same declarations (``make reference``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, overload

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from triage.metrics.labels import PREFIX

M = TypeVar("M", Counter, Gauge, Histogram)


@dataclass(frozen=True)
class Family(Generic[M]):
    """One declared family. On an instance of its group it is the metric that prometheus_client registered.

    ``name`` has our prefix and, for a counter, the suffix ``_total``.
    """

    kind: str
    name: str
    help_text: str
    labels: tuple[str, ...]
    register: Callable[[CollectorRegistry], M]

    @overload
    def __get__(self, group: None, owner: type[MetricGroup]) -> Family[M]: ...
    @overload
    def __get__(self, group: MetricGroup, owner: type[MetricGroup]) -> M: ...
    def __get__(self, group: MetricGroup | None, owner: type[MetricGroup]) -> Family[M] | M:
        """Return the declaration from the class; an instance has the metric under the same name, and that is found."""
        if group is not None:
            raise AttributeError(f"{self.name} is not registered: call MetricGroup.__init__ first")
        return self


class MetricGroup:
    """Metric families that are registered together.

    Args:
        registry: Where they are registered. None: in a registry of their own that is exported nowhere, for work that
            must not be counted (canary, validation) and for tests.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._register(CollectorRegistry() if registry is None else registry)

    def _register(self, registry: CollectorRegistry) -> None:
        for attribute, family in families(type(self)).items():
            vars(self)[attribute] = family.register(registry)


def families(group: type[MetricGroup]) -> dict[str, Family[Counter] | Family[Gauge] | Family[Histogram]]:
    """Return every family of a group and of its bases by attribute, the bases' first."""
    declared = (item for base in reversed(group.__mro__) for item in vars(base).items())
    return {attribute: each for attribute, each in declared if isinstance(each, Family)}


def counter(name: str, help_text: str, *labels: str) -> Family[Counter]:
    """Declare a counter; ``name`` without our prefix, with ``_total``."""
    full = f"{PREFIX}_{name}"
    return Family("counter", full, help_text, labels, lambda to: Counter(full, help_text, labels, registry=to))


def gauge(name: str, help_text: str, *labels: str) -> Family[Gauge]:
    """Declare a gauge; ``name`` without our prefix."""
    full = f"{PREFIX}_{name}"
    return Family("gauge", full, help_text, labels, lambda to: Gauge(full, help_text, labels, registry=to))


def histogram(name: str, help_text: str, buckets: tuple[float, ...], *labels: str) -> Family[Histogram]:
    """Declare a histogram; ``name`` without our prefix, ``buckets`` are upper bounds in the unit of the name."""
    full = f"{PREFIX}_{name}"
    return Family(
        "histogram",
        full,
        help_text,
        labels,
        lambda to: Histogram(full, help_text, labels, registry=to, buckets=buckets),
    )
