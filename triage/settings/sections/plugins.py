"""Settings of plug-ins."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from triage.plugins.statement import PluginStatement, parse_statement
from triage.setting_types import Section


def _statement(text: str) -> str:
    parse_statement(text)
    return text


class PluginSettings(Section):
    """Parts of other distributions. Nothing is loaded because it is installed."""

    enabled: tuple[Annotated[str, AfterValidator(_statement)], ...] = Field(
        (),
        description="DIST==VERSION:NAME of each plug-in that is loaded: the distribution, its version and the entry "
        "point, with #sha256=HEX where its files are pinned (`triage check` prints it). Their code runs in ours.",
    )
    rule_timeout_s: float = Field(
        1.0, gt=0, le=60, description="Seconds for one call of a combination rule; a later answer counts as a failure."
    )

    @property
    def statements(self) -> tuple[PluginStatement, ...]:
        """The plug-ins that are enabled."""
        return tuple(map(parse_statement, self.enabled))
