"""The versions of card.json: a card of an earlier one is read as if it were of this one. The file stays as it is.

A card is never written by the service: its folder may be read-only, and its signature is the person's who exported it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

SCHEMA = 1
Step = Callable[[dict[str, Any]], dict[str, Any]]
STEPS: Mapping[int, Step] = {}
"""From a version to the next, by the version it starts from. There has been one version so far."""


class LaterCardError(ValueError):
    """The card was written for a later release; the message says so."""


def as_of_now(record: dict[str, Any], steps: Mapping[int, Step] = STEPS, schema: int = SCHEMA) -> dict[str, Any]:
    """The record of a card in this program's version. Raises LaterCardError."""
    found = record.get("card_schema")
    if not isinstance(found, int):
        return record  # whoever checks the card says so
    if found > schema:
        raise LaterCardError(
            f"card_schema is {found}, this program knows {schema}: install the release that it was exported for"
        )
    for version in range(found, schema):
        if version not in steps:
            break
        record = {**steps[version](record), "card_schema": version + 1}
    return record
