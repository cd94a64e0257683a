"""Metrics of `triage deliver`."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from triage.metrics.labels import WAITING_SECONDS
from triage.metrics.registry import MetricFactory


@dataclass(frozen=True)
class DeliveryMetrics:
    """What the one delivering process does and sees. {destination}: names from the settings only."""

    built: Counter  # {destination}
    repaired: Counter  # {destination}: built without attributes that are odd in the images
    skipped: Counter  # {destination}: nothing to send of a result, e.g. no activation map
    attempts: Counter  # {destination, outcome}: delivered, retry, dead, unreachable
    warnings: Counter  # {destination}: delivered, and the receiver warned
    build_failures: Counter  # {destination}
    held: Counter  # {destination}: would have lowered what was delivered as raised
    time_to_delivery: Histogram  # {destination}
    waiting: Gauge  # {destination}
    oldest: Gauge  # {destination}: 0 while nothing waits
    dead: Gauge  # {destination}
    up: Gauge  # {destination}: 1 if the last attempt reached it
    switched_off: Gauge  # {destination}: 1 while its kill switch is on


def create_delivery(registry: CollectorRegistry) -> DeliveryMetrics:
    """Register what is counted about destinations. For the delivering process alone."""
    make = MetricFactory(registry)
    return DeliveryMetrics(
        built=make.counter("deliveries_built_total", "Messages built.", "destination"),
        repaired=make.counter(
            "deliveries_repaired_total", "Messages built without attributes that are odd in the images.", "destination"
        ),
        skipped=make.counter("deliveries_skipped_total", "Results of which there is nothing to send.", "destination"),
        attempts=make.counter("delivery_attempts_total", "Attempts to deliver a message.", "destination", "outcome"),
        warnings=make.counter("delivery_warnings_total", "Messages that were delivered with a warning.", "destination"),
        build_failures=make.counter("delivery_build_failures_total", "Messages that cannot be built.", "destination"),
        held=make.counter(
            "deliveries_held_total", "Results not sent because they would lower a raised study.", "destination"
        ),
        time_to_delivery=make.histogram(
            "time_to_delivery_seconds", "From a study's decision to the receipt.", WAITING_SECONDS, "destination"
        ),
        waiting=make.gauge("deliveries_waiting", "Messages that are built and not acknowledged.", "destination"),
        oldest=make.gauge(
            "oldest_undelivered_timestamp_seconds",
            "Since when the oldest result waits for its delivery; 0 while none waits.",
            "destination",
        ),
        dead=make.gauge("delivery_dead_letters", "Messages that were given up and wait for a person.", "destination"),
        up=make.gauge("destination_up", "Whether the last attempt reached the destination.", "destination"),
        switched_off=make.gauge("destination_switched_off", "Whether a person has switched it off.", "destination"),
    )
