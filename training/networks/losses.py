"""Losses of one batch; unknown targets have no weight."""

from __future__ import annotations

import torch
from torch.nn import functional

from training.config import LossConfig


def class_loss(logits: torch.Tensor, labels: torch.Tensor, loss: LossConfig) -> torch.Tensor:
    """Return the loss of each logit (n,) against 0 or 1 (n,)."""
    smooth = labels * (1 - loss.smoothing) + loss.smoothing / 2
    if loss.kind == "bce":
        return functional.binary_cross_entropy_with_logits(logits, smooth, reduction="none")
    if loss.kind == "bootstrap":
        believed = loss.beta * smooth + (1 - loss.beta) * torch.sigmoid(logits).detach()
        return functional.binary_cross_entropy_with_logits(logits, believed, reduction="none")
    # Zhang and Sabuncu 2018: (1 - p^q) / q, between cross-entropy (q to 0) and absolute error (q 1).
    positive = (1 - torch.exp(loss.q * functional.logsigmoid(logits))) / loss.q
    negative = (1 - torch.exp(loss.q * functional.logsigmoid(-logits))) / loss.q
    return smooth * positive + (1 - smooth) * negative


def known_targets(targets: torch.Tensor) -> torch.Tensor:
    """Return the number of images whose target is known (outputs,), of targets (n, outputs) with NaN for unknown."""
    return (~targets.isnan()).sum(0)


def batch_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    losses: tuple[LossConfig | None, ...],
    count: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the sum over outputs of the weighted mean over the images whose target is known.

    All are (n, outputs), ``targets`` NaN where unknown; an output whose loss is None is a number, with squared error.
    ``count`` (outputs,) is what the sums are divided by, ``known_targets`` of these images if it is not given: where a
    batch is shared by processes whose gradients are averaged, the mean of theirs.
    """
    known = ~targets.isnan()
    filled = targets.nan_to_num()
    each = [
        (logits[:, place] - filled[:, place]) ** 2
        if loss is None
        else class_loss(logits[:, place], filled[:, place], loss)
        for place, loss in enumerate(losses)
    ]
    weighted = torch.stack(each, 1) * weights * known
    divided = known.sum(0) if count is None else count
    return (weighted.sum(0) / divided.where(divided > 0, 1)).sum()
