"""Settings of disagreements, their judgement, and random audits."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from triage.setting_types import Section


class AdjudicationSettings(Section):
    """Judgement of disagreements by another person, and the cases of audits."""

    blinded: bool = Field(
        True,
        description="Show the judge of a case neither tag, scores and texts nor how it was chosen, until it is judged.",
    )
    random_fraction: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of new studies that are drawn for the random audit, before their result is seen. Labels of "
        "these alone may be used for figures of accuracy. 0: none.",
    )
    random_seed: str = Field(
        "",
        max_length=64,
        description="Seed of the draw, a text of your own. It is kept with each drawn study; another one draws only "
        "among studies that come afterwards.",
    )
    uncertain_within: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Distance of a score from its operating point up to which a new study is a case to be judged, as "
        "one that the model is uncertain of. Never used for figures of accuracy. 0: none.",
    )
    keep_days: float = Field(
        90.0,
        ge=0,
        description="Days, from when a case came up, for which retention leaves its study until the case is judged. "
        "0: retention does not wait for judgements.",
    )
    reader_studies: tuple[Path, ...] = Field(
        (), description="Folders of reader studies (`triage readers`) whose ties are judged on the page."
    )

    @model_validator(mode="after")
    def _a_draw_has_a_seed(self) -> Self:
        if self.random_fraction and not self.random_seed:
            raise ValueError("random_fraction needs random_seed, so that the draw can be made again")
        return self
