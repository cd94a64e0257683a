"""The parity gate: a graph that differs from the measured network is not written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from export.graph import Shipped, chosen, with_maps
from export.graph_session import session_of
from training.data.images import Bytes, standardise, to_levels
from training.runs.predict import centre
from triage.errors import TriageError
from triage.radiograph.preprocess import PreprocessSpec
from triage.statistics.intervals import auc, patient_bootstrap

PARITY = 1e-4
MOST_FLIPPED = 0.01
AUC_MARGIN = 0.005
BATCH = 16

Floats = npt.NDArray[np.floating]


class ParityError(TriageError):
    """Raised where graph and measured network differ; nothing is written. Try another variant or network."""


def run_graph(weights: Path, images: Bytes, spec: PreprocessSpec, output: str) -> Floats:
    """Return one output of an ONNX file for cached images (n, s, s), on the CPU."""
    session = session_of(weights)
    return np.concatenate([session.run([output], {"image": batch.numpy()})[0] for batch in batches(images, spec)])


def batches(images: Bytes, spec: PreprocessSpec) -> Iterator[torch.Tensor]:
    """Yield model inputs (n, 1, s, s) of cached images."""
    for start in range(0, len(images), BATCH):
        yield standardise(to_levels(images[start : start + BATCH]), spec).contiguous()


def check_parity(shipped: Shipped, weights: Path, images: Bytes, thresholds: Sequence[Sequence[float]]) -> float:
    """Return the largest difference of probabilities between PyTorch and ONNX Runtime on real images (n, s, s).

    Raises ParityError beyond 1e-4, for a tag at one of ``thresholds`` (those of each output) that differs farther from
    it than that, for a distance that differs, and for a map whose mean is not the logit.
    """
    session = session_of(weights)
    worst = 0.0
    for batch in batches(images, shipped.view.spec()):
        with torch.no_grad():
            expected = dict(zip(shipped.names, (part.numpy() for part in shipped(batch)), strict=True))
        found = dict(zip(shipped.names, session.run(shipped.names, {"image": batch.numpy()}), strict=True))
        for column, points in enumerate(thresholds):
            wanted, given = (_column(outputs["probability"], column) for outputs in (expected, found))
            worst = max(worst, _difference(wanted, given, points))
        if "calibrated_probability" in found:
            _difference(expected["calibrated_probability"], found["calibrated_probability"], ())
        if not np.allclose(expected["distance"], found["distance"], rtol=1e-3, atol=1e-3):
            raise ParityError("distances of graph and network differ by more than 1e-3")
        if shipped.has_map:
            _check_map(found, shipped.bias)
    _check_members(shipped, images)
    return worst


def _difference(expected: Floats, actual: Floats, thresholds: Sequence[float]) -> float:
    worst = float(np.abs(expected - actual).max())
    if not worst <= PARITY:
        raise ParityError(f"probabilities of graph and network differ by {worst:.2e}, more than {PARITY:.0e}")
    for threshold in thresholds:
        flipped = (expected >= threshold) != (actual >= threshold)
        if np.any(np.abs(expected[flipped] - threshold) > PARITY):
            raise ParityError(f"tags of graph and network differ at the threshold {threshold}")
    return worst


def _column(values: Floats, column: int) -> Floats:
    return values if values.ndim == 1 else np.asarray(values[:, column])


def _check_map(outputs: dict[str, Floats], bias: Floats) -> None:
    from_map = outputs["cam"].mean((-2, -1)) + bias
    if not np.allclose(from_map, outputs["logit"], rtol=1e-3, atol=1e-3):
        raise ParityError("the mean of the activation map plus the bias is not the logit")


def _check_members(shipped: Shipped, images: Bytes) -> None:
    """Raise ParityError unless each member's map has the mean of its logit less its bias."""
    if not shipped.has_map:
        return
    levels = to_levels(images[:BATCH])
    batch = centre(standardise(levels, shipped.view.spec()), shipped.view.size)
    for number, member in enumerate(shipped.networks):
        with torch.no_grad():
            logits, maps = with_maps(member, batch, shipped.outputs)
            raw = chosen(member(batch), shipped.outputs)
        from_map = maps.mean((-2, -1)) + torch.tensor([member.bias(each) for each in shipped.outputs])
        if not (
            torch.allclose(from_map, raw, rtol=1e-3, atol=1e-3) and torch.allclose(logits, raw, rtol=1e-4, atol=1e-4)
        ):
            raise ParityError(f"member {number}: the mean of its activation map plus its bias is not its logit")


def check_refusals(reference: Floats, variant: Floats, limit: float) -> None:
    """Raise ParityError if by its distances (n,) a variant refuses more than 1 % other images than the fp32 graph."""
    changed = float(((reference > limit) != (variant > limit)).mean())
    if not changed <= MOST_FLIPPED:
        raise ParityError(f"the variant refuses {changed:.1%} other images, more than {MOST_FLIPPED:.0%}")


def check_variant(
    reference: Floats, variant: Floats, labels: Floats, patients: Sequence[str], thresholds: Sequence[float]
) -> str:
    """Return the changes of a variant in words.

    Raises ParityError if it flips more than 1 % of the tags at a threshold, or if the patient-clustered 95 % interval
    of the AUC difference leaves 0.005 on either side. ``reference`` and ``variant`` are probabilities (n,) of the fp32
    graph and of the variant.
    """
    flipped = {
        threshold: float(((reference >= threshold) != (variant >= threshold)).mean()) for threshold in thresholds
    }
    threshold, share = max(flipped.items(), key=lambda item: item[1])
    if not share <= MOST_FLIPPED:
        raise ParityError(f"the variant flips {share:.1%} of the tags at {threshold}, more than {MOST_FLIPPED:.0%}")
    low, high = patient_bootstrap(
        lambda chosen: auc(labels[chosen], variant[chosen]) - auc(labels[chosen], reference[chosen]), patients
    )
    if not (low >= -AUC_MARGIN and high <= AUC_MARGIN):
        raise ParityError(
            f"the AUC of the variant differs by {low:+.4f} to {high:+.4f}, which is not within {AUC_MARGIN}"
        )
    flips = f"{share:.2%} of the tags flipped"
    return f"against fp32 on {len(variant)} images: {flips}, AUC difference {low:+.4f} to {high:+.4f}"
