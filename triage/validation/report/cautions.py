"""Warnings of a validation, as sentences for its reader."""

from __future__ import annotations

from collections.abc import Iterator

from triage.model.card import ModelCard
from triage.validation.measures.figures import defined_intervals
from triage.validation.measures.whole_record import MetricsRecord

_FEW_PATIENTS = 30


def warnings_of(metrics: MetricsRecord, card: ModelCard) -> list[str]:
    """Return the warnings, the gravest first."""
    return [
        *_of_model(metrics, card),
        *_of_findings(metrics, card),
        *_of_cohort(metrics),
        *_of_coverage(metrics),
        *_of_columns(metrics),
    ]


def _of_findings(metrics: MetricsRecord, card: ModelCard) -> Iterator[str]:
    """Yield labels that are not used, findings that are not measured, and a leading finding with two labels."""
    for point in metrics["site_points"]:
        if point["images_that_chose"]:
            yield (
                f"{point['images_that_chose']} of these images chose the operating point {point['name']} of "
                f"{point['finding']} ({point['stratum']}): figures at it flatter it."
            )
    if strangers := metrics["labels_without_finding"]:
        yield f"The cohort has labels of {', '.join(strangers)}, and the model has no such finding."
    if unlabelled := metrics["findings_without_labels"]:
        yield f"Not measured, as no image is labelled for it: {', '.join(unlabelled)}."
    lead = next((each for each in metrics["findings"] if each["name"] == card.leading.name), None)
    if lead is not None and lead["label_column"] != "label":
        yield (
            f"Figures without a finding's name are {lead['title']} against the column label; those against "
            f"{lead['label_column']} are by finding."
        )


def _of_model(metrics: MetricsRecord, card: ModelCard) -> Iterator[str]:
    if card.demo:
        yield "The model is marked as a demonstration: the service refuses it outside demonstrations."
    if metrics["model"]["scores_given_by"]:
        yield (
            f"The scores were read from {metrics['model']['scores_given_by']} and not made with the model file: "
            "measured is what made them (out of fold: networks that never saw the patient), not the file that ships. "
            "What the model would refuse is not measured by them."
        )
    overlap = metrics["cohort"]["images_of_training_patients"]
    if overlap and metrics["pointing_game"] and metrics["pointing_game"]["findings"]:
        yield (
            f"The activation maps are of the model file, which was trained on patients of {overlap} of these images: "
            "the pointing game flatters it."
        )
    if not card.target.negative_is_normal:
        yield (
            f"A negative of this model does not mean a normal radiograph ({card.target.negative_class}); the service "
            "tags its negatives NOT ASSESSED."
        )


def _sentence(note: str) -> str:
    return note[:1].upper() + note[1:] + ("" if note.endswith((".", "!", "?")) else ".")


def _of_cohort(metrics: MetricsRecord) -> Iterator[str]:
    cohort, image = metrics["cohort"], metrics["image"]
    overlap = cohort["images_of_training_patients"]
    if overlap is None:
        yield f"That none of these patients trained the model is not shown: {cohort['why_not_known']}."
    elif overlap and not metrics["model"]["scores_given_by"]:
        yield (
            f"{overlap} of {image['n']} images are of patients whose identifiers are among those of training: the "
            "figures flatter the model (--exclude-training-patients leaves them out)."
        )
    if cohort["training_images"] and not metrics["model"]["scores_given_by"]:
        yield f"The model learnt from {cohort['training_images']} of these very images."
    if image["patients"] < _FEW_PATIENTS:
        yield f"Only {image['patients']} patients: the bootstrap's intervals are too narrow; look at the exact ones."
    yield from (_sentence(note) for note in cohort["notes"])
    if cohort["files_with_the_bytes_of_another"]:
        yield f"{cohort['files_with_the_bytes_of_another']} files hold the bytes of another file of this cohort."
    if metrics["settings"]["any_age"]:
        yield "Patients of ages that the card does not cover were scored too (--any-age); the service assesses none."


def _of_coverage(metrics: MetricsRecord) -> Iterator[str]:
    image = metrics["image"]
    missing = image["n"] - round((image["coverage"]["value"] or 0) * image["n"])
    if not missing:
        return
    yield (
        f"{missing} of {image['n']} images were not assessed. Figures 'in the worst case' count each of them as wrong; "
        "bars are held against those."
    )
    reasons = metrics["not_assessed"]
    positives, negatives = (sum(each["positives"] for each in reasons), sum(each["negatives"] for each in reasons))
    rates = (positives / max(image["positives"], 1), negatives / max(image["negatives"], 1))
    if max(rates) > 2 * min(rates) and positives + negatives >= 10:
        yield f"The classes are refused unequally: {rates[0]:.1%} of the positives, {rates[1]:.1%} of the negatives."


def _of_columns(metrics: MetricsRecord) -> Iterator[str]:
    for each in metrics["shortcuts"]:
        value = each["auc"]["value"]
        if each["suspicious"] and value is not None:
            nearly = "is the label, or was made from it" if value > 0.95 else "may be a shortcut for the model"
            yield f"Column {each['column']} alone separates the labels with an AUC of {value:.2f}: it {nearly}."
    for group in metrics["subgroups"].get("view", ()):
        intervals = defined_intervals(group["worst_case"]["auc"]).values()
        if intervals and min(low for low, _ in intervals) <= 0.5:
            yield f"Within view {group['group']} the lower bound of the AUC does not clear 0.5: it may be chance."
