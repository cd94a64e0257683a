"""Settings of the log."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from triage.setting_types import Section


class LogSettings(Section):
    """Log on standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severity that is logged.")
    format: Literal["lines", "json"] = Field(
        "lines",
        description="Form of the log of every process: lines for people, or a JSON object on each line for a log store "
        "(docs/reference/logs.md). Commands that people type keep lines.",
    )
