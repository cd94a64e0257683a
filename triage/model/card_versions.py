"""Versions of card.json: a card of an earlier version is converted when it is read. The file stays as it is.

The service never writes a card: its folder may be read-only, and the signature is that of the exporter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from triage.errors import TriageError

SCHEMA = 1
CardRecord = dict[str, object]
Step = Callable[[CardRecord], CardRecord]
STEPS: Mapping[int, Step] = {}
"""Conversions to the next version, by the version they start from. There has been one version so far."""


class LaterCardError(TriageError, ValueError):
    """The card was written for a later release. Install that release."""


def as_of_now(record: CardRecord, steps: Mapping[int, Step] = STEPS, schema: int = SCHEMA) -> CardRecord:
    """Return the record of a card in this program's version. Raises LaterCardError."""
    found = record.get("card_schema")
    if not isinstance(found, int):
        return record  # the check of the card reports it
    if found > schema:
        raise LaterCardError(
            f"card_schema is {found}, this program knows {schema}: install the release that it was exported for"
        )
    for version in range(found, schema):
        if version not in steps:
            break
        record = {**steps[version](record), "card_schema": version + 1}
    return record
