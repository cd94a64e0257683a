"""The description of a model of torchxrayvision's, as `triage models import` reads it: a draft for a person."""

from __future__ import annotations

from collections.abc import Iterator

from export.torchxrayvision.graph import LOGITS, NORMED
from export.torchxrayvision.published import PublishedOutput, PublishedWeights

_HEAD = """\
# Written by `python -m export torchxrayvision`. torchxrayvision states neither an intended use nor limits: they are
# for you to judge.
name = "{name}"
version = "1"
architecture = "{network} of torchxrayvision, one grey channel"
limits = [
    "Trained on {data}: nothing is known of this site's images before they are measured (triage validate).",
    "{about_scores}",
    "It has no output for 'no finding', so that its negatives are never called normal.",
    "The middle square of the image is all that it sees.",
]

[input]
layout = "NCHW"
channels = 1
size = {size}
fit = "centre_crop"
resize = "area"
normalisation = "torchxrayvision"

[abnormal]
negative_is_normal = false

[intended_use]
modalities = ["CR", "DX"]
views = ["PA", "AP"]
age_from = 18

[training]
data = [{listed}]
recipe = "https://github.com/mlmed/torchxrayvision, {file}"

[licence]
weights = "as published by torchxrayvision"
commercial = false
because = "the data sets that it learnt from are for research, each under terms of its own"
"""
_FINDING = """
[[findings]]
name = "{name}"
title = "{title}"
output = "{output}"
index = {index}
kind = "{kind}"
positive_class = "{title}"
negative_class = "no {title_within}"
threshold = {threshold!r}
chosen = "{chosen}"
calibration = "{calibration}"
"""
_OF_LOGITS = "logistic function of an output trained with class weights; never calibrated"
_OF_NORMED = (
    "op_norm: rescaled, linear on both sides, so that the published threshold becomes 0.5. A score between 0 and 1, "
    "and no probability"
)


def draft(name: str, weights: PublishedWeights, *, normed: bool) -> str:
    """Return the description. ``normed``: of the scores after op_norm, not of the probabilities before it."""
    text = _HEAD.format(
        name=f"{name}-op-norm" if normed else name,
        network="DenseNet121" if name.startswith("densenet121-") else "ResNet50",
        data=", ".join(weights.data),
        about_scores=_OF_NORMED if normed else f"Its scores: {_OF_LOGITS}.",
        size=weights.size,
        listed=", ".join(f'"{each}"' for each in weights.data),
        file=weights.file,
    )
    return text + "".join(_findings(weights, normed=normed))


def _findings(weights: PublishedWeights, *, normed: bool) -> Iterator[str]:
    for index, output in enumerate(weights.outputs):
        if output.is_finding:
            yield _finding(index, output, normed=normed)


def _finding(index: int, output: PublishedOutput, *, normed: bool) -> str:
    title = output.label.replace("_", " ").capitalize()
    published = f"published by torchxrayvision as {output.threshold}"
    return _FINDING.format(
        name=output.label.lower().replace(" ", "_"),
        title=title,
        title_within=title.lower(),
        output=NORMED if normed else LOGITS,
        index=index,
        kind="score" if normed else "logit",
        threshold=0.5 if normed else output.threshold,
        chosen=f"{published}, where op_norm has 0.5" if normed else f"{published}, of its validation images",
        calibration=_OF_NORMED if normed else _OF_LOGITS,
    )
