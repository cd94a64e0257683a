"""The card of an imported model, of its description and of what was measured here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from triage.model.card import Distribution, IntendedUse, ModelCard, Preprocessing, Training
from triage.model.card_finding import AbnormalRule, CardFinding, OperatingPoint
from triage.model.card_versions import SCHEMA
from triage.model_import.description import Description, FindingDescription
from triage.model_import.graph_form import Form

NO_PROBABILITY = "a score between 0 and 1, and no probability"
UNMEASURED = (
    "Demonstration only: its description states no performance. In shadow it can be measured (triage validate); "
    "imported again with what was measured, it may decide."
)


@dataclass(frozen=True)
class Measured:
    """Results of the import: digests of the given and of the wrapped graph, the distance or words for none, notes."""

    given_sha256: str
    wrapped_sha256: str
    distribution: Distribution | None
    without_distribution: str
    notes: tuple[str, ...]


def card_of(described: Description, form: Form, measured: Measured) -> ModelCard:
    """Return the card. Raises ValidationError for findings that do not go together."""
    demo = not any(each.is_measured for each in described.findings if each.is_finding and each.counts)
    return ModelCard(
        card_schema=SCHEMA,
        name=described.name,
        version=described.version,
        model_sha256=measured.wrapped_sha256,
        demo=demo,
        architecture=described.architecture,
        preprocessing=Preprocessing(**form.wrapping.spec.to_record()),
        findings=tuple(_findings(described, form.columns)),
        abnormal=AbnormalRule(
            negative_is_normal=described.abnormal.negative_is_normal, performance=described.abnormal.performance
        ),
        intended_use=IntendedUse(**described.intended_use.model_dump()),
        distribution=measured.distribution,
        without_distribution="" if measured.distribution else measured.without_distribution,
        training=Training(
            data=described.training.data, images=described.training.images, recipe=described.training.recipe
        ),
        limits=(*described.limits, *_limits(described, measured, demo=demo)),
        licence=described.licence,
    )


def _findings(described: Description, columns: Mapping[int, int]) -> Iterator[CardFinding]:
    for number, each in enumerate(described.findings):
        if not each.is_finding or each.threshold is None:
            continue
        yield CardFinding(
            name=each.name,
            title=each.title or each.name.replace("_", " "),
            code=each.code,
            column=columns.get(number),
            rule=each.rule,
            positive_class=each.positive_class,
            negative_class=each.negative_class,
            negative_means=each.negative_means,
            counts=each.counts,
            operating_points=(
                OperatingPoint(
                    name="default",
                    threshold=each.threshold,
                    chosen=each.chosen,
                    sensitivity=each.sensitivity,
                    specificity=each.specificity,
                ),
            ),
            calibration=_calibration(each),
            performance=each.performance,
            activation_map="" if each.map is None else f"map {each.map} of the given graph, as it is",
            activation_column=each.map,
        )


def _calibration(finding: FindingDescription) -> str:
    if finding.kind != "score" or "no probability" in finding.calibration:
        return finding.calibration
    return NO_PROBABILITY if finding.calibration == "none" else f"{finding.calibration}; {NO_PROBABILITY}"


def _limits(described: Description, measured: Measured, *, demo: bool) -> Iterator[str]:
    yield f"Imported from an ONNX file whose SHA-256 is {measured.given_sha256}; its network is unchanged."
    yield from measured.notes
    if described.input.fit == "centre_crop":
        yield "Of an image that is no square, the middle alone is seen."
    if demo:
        yield UNMEASURED
