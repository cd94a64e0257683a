"""Losses of one batch; what is unknown counts nothing."""

from __future__ import annotations

import torch
from torch.nn import functional

from training.config import LossConfig


def class_loss(logits: torch.Tensor, labels: torch.Tensor, how: LossConfig) -> torch.Tensor:
    """Loss of each logit (n,) against 0 or 1 (n,)."""
    smooth = labels * (1 - how.smoothing) + how.smoothing / 2
    if how.kind == "bce":
        return functional.binary_cross_entropy_with_logits(logits, smooth, reduction="none")
    if how.kind == "bootstrap":
        believed = how.beta * smooth + (1 - how.beta) * torch.sigmoid(logits).detach()
        return functional.binary_cross_entropy_with_logits(logits, believed, reduction="none")
    # Zhang and Sabuncu 2018: (1 - p^q) / q, between cross-entropy (q to 0) and absolute error (q 1).
    positive = (1 - torch.exp(how.q * functional.logsigmoid(logits))) / how.q
    negative = (1 - torch.exp(how.q * functional.logsigmoid(-logits))) / how.q
    return smooth * positive + (1 - smooth) * negative


def known_targets(targets: torch.Tensor) -> torch.Tensor:
    """Of how many images each target is known: (n, outputs), NaN where unknown, to (outputs,)."""
    return (~targets.isnan()).sum(0)


def batch_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    losses: tuple[LossConfig | None, ...],
    count: torch.Tensor | None = None,
) -> torch.Tensor:
    """Sum over outputs of the weighted mean over the images whose target is known.

    All are (n, outputs), ``targets`` NaN where unknown; an output whose loss is None is a number, with squared error.
    ``count`` (outputs,) is what the sums are divided by, ``known_targets`` of these images if it is not given: where a
    batch is shared by processes whose gradients are averaged, the mean of theirs.
    """
    known = ~targets.isnan()
    filled = targets.nan_to_num()
    each = [
        (logits[:, place] - filled[:, place]) ** 2
        if how is None
        else class_loss(logits[:, place], filled[:, place], how)
        for place, how in enumerate(losses)
    ]
    weighted = torch.stack(each, 1) * weights * known
    divided = known.sum(0) if count is None else count
    return (weighted.sum(0) / divided.where(divided > 0, 1)).sum()
