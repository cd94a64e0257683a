"""Metrics of paging, in `triage deliver` where it is switched on."""

from __future__ import annotations

from triage.metrics.registry import MetricGroup, counter, gauge


class PagingMetrics(MetricGroup):
    """Pages to the reading rota.

    {rota}: reading, quiet. {route}: mail, chat. {outcome}: taken, failed.
    """

    pages = counter("pages_total", "Pages that every route of a rota has taken.", "rota")
    attempts = counter("page_attempts_total", "Attempts to send a page.", "route", "outcome")
    undelivered = gauge("pages_undelivered", "Pages that a route of the rota has not taken.")
    oldest_undelivered = gauge(
        "oldest_undelivered_page_timestamp_seconds", "Since when the oldest of them is due; 0 while there is none."
    )
    held = gauge("pages_held", "Pages that wait because the cap of the hour is reached.")
    refused = gauge("page_addresses_refused", "Addresses of the rota that the mail server refused last.")
    watched = gauge("paging_studies", "Raised studies that paging watches: not read yet.")
    last_round = gauge("paging_last_round_timestamp_seconds", "When paging last looked at all of them.")
