"""The pages of docs/reference with their generated parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from triage.metrics.reference import reference as metrics
from triage.reference import conformance
from triage.reference.channels import channels
from triage.reference.commands import commands
from triage.reference.reasons import reasons
from triage.reference.schemas import description_tables
from triage.settings.reference import reference

_PARTS: Mapping[str, Callable[[], dict[str, str]]] = {
    "channels.md": channels,
    "commands.md": commands,
    "conformance.md": conformance.tables,
    "model-card.md": description_tables,
    "metrics.md": lambda: {"metrics": metrics()},
    "reasons.md": reasons,
    "settings.md": lambda: {"settings": reference()},
}


def pages() -> tuple[str, ...]:
    """Return the names of the pages."""
    return tuple(_PARTS)


def parts_of(page: str) -> dict[str, str]:
    """Return the generated parts of a page by their names.

    Raises:
        KeyError: the page has none.
    """
    return _PARTS[page]()
