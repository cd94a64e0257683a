"""Comparison of models in shadow with those in service, on the images that both scored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from triage.decision.decide import current_assessments
from triage.decision.records import assessment_from
from triage.decision.types import ImageAssessment, ShadowScore, Tag
from triage.runtime.csv_table import TableWriter
from triage.spool.store import Store

COLUMNS = (
    "study_instance_uid", "sop_instance_uid", "view", "age_years",
    "model", "tag", "probability", "shadow_model", "shadow_tag", "shadow_probability",
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """One image, scored in service and by a model in shadow."""

    image: ImageAssessment
    shadow: ShadowScore

    @property
    def tags(self) -> tuple[Tag, Tag]:
        """The tags in service and in shadow."""
        return self.image.tag, self.shadow.tag


@dataclass(frozen=True)
class ShadowComparison:
    """Counts of each pair of tags of two models (their ids), in service first."""

    model: str
    shadow: str
    counts: dict[tuple[Tag, Tag], int]

    @property
    def images(self) -> int:
        """Images that both scored."""
        return sum(self.counts.values())

    @property
    def agreed(self) -> int:
        """Images with the same tag from both."""
        return sum(count for (ours, theirs), count in self.counts.items() if ours == theirs)


def pairs(spool: Store) -> Iterator[Pair]:
    """Yield every current image that models in shadow scored too. Reads the whole spool."""
    for study in sorted(spool.study_uids()):
        images = current_assessments([assessment_from(record) for record in spool.assessments(study)])
        yield from (Pair(image, shadow) for image in images for shadow in image.shadow_scores)


def compare(found: Iterable[Pair]) -> list[ShadowComparison]:
    """Return a comparison for each pair of models, by their ids."""
    counts: dict[tuple[str, str], dict[tuple[Tag, Tag], int]] = defaultdict(lambda: defaultdict(int))
    for pair in found:
        counts[pair.image.model_id or "", pair.shadow.model_id][pair.tags] += 1
    return [ShadowComparison(model, shadow, dict(each)) for (model, shadow), each in sorted(counts.items())]


def write(found: Iterable[Pair], out: Path) -> Iterator[Pair]:
    """Write a row of UIDs, tags and scores for each pair as it is passed on; no patient data."""
    with out.open("w", newline="") as stream:
        writer = TableWriter(stream, "\r\n")
        writer.row(COLUMNS)
        for pair in found:
            writer.row(_row(pair))
            yield pair


def _row(pair: Pair) -> tuple[str, ...]:
    image, shadow = pair.image, pair.shadow
    age = "" if image.age_years is None else f"{image.age_years:g}"
    return (
        image.study_instance_uid, image.sop_instance_uid, image.view, age,
        image.model_id or "", image.tag, _number(image.probability),
        shadow.model_id, shadow.tag, _number(shadow.probability),
    )  # fmt: skip


def _number(probability: float | None) -> str:
    return "" if probability is None else f"{probability:.6f}"
