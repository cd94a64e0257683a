"""The reference of channels: every registered kind and the settings of its destinations."""

from __future__ import annotations

from triage.channels.registry import channel_kinds
from triage.reference.marked_page import table
from triage.settings.reference import channels_reference


def channels() -> dict[str, str]:
    """Return two generated parts: the kinds in a table, and a table of settings for each."""
    rows = [(f"`[[channels.{kind.name}]]`", kind.summary) for kind in channel_kinds()]
    return {"channel-kinds": table(("section", "what it sends"), rows), "channel-settings": channels_reference()}
