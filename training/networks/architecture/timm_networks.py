"""Architectures of timm, by ``timm:NAME``.

timm is imported when a network is built: its import takes seconds.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from training.errors import TrainingError
from training.networks.imagenet import PACKAGES, input_scale, packaged_state
from training.networks.network import Network, sum_first_convolution
from training.networks.registry import IMAGENET, SCRATCH, NetworkSpec, architecture_family
from training.networks.weights import load_imagenet, weights_file
from triage.radiograph.preprocess import PreprocessSpec


@architecture_family("timm:NAME", r"timm:(.*)")
def timm_network(spec: NetworkSpec) -> Network:
    """Build a network of timm; it is pooled where cutting it into trunk and linear head computes the same."""
    import training.networks.torchvision_ops  # noqa: F401  # timm imports torchvision

    name = spec.parameter
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm's own deprecations
        import timm

        if name not in timm.list_models():
            raise TrainingError(f"timm has no model {name!r}")
        if spec.weights == IMAGENET and name in PACKAGES:
            model = _packaged(timm.create_model(name), name, spec.outputs)
        else:
            model = _from_timm(spec)
    return _pooled(model) or Network(nn.Identity(), model, pooled=False)


def _from_timm(spec: NetworkSpec) -> Any:
    import timm

    local = None if spec.weights in (SCRATCH, IMAGENET) else {"file": str(weights_file(spec.weights))}
    return load_imagenet(
        spec.parameter,
        lambda: timm.create_model(
            spec.parameter,
            in_chans=1,
            num_classes=spec.outputs,
            pretrained=spec.weights != SCRATCH,
            pretrained_cfg_overlay=local,
        ),
    )


def _packaged(model: Any, name: str, outputs: int) -> Any:
    """Return timm's network of colour images with a package's weights, made grey, scaled and given other outputs."""
    model.load_state_dict(packaged_state(name, model.state_dict()))
    sum_first_convolution(model, input_scale(PreprocessSpec(size=model.default_cfg["input_size"][-1])))
    model.reset_classifier(outputs)
    return model


class _Features(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return feature maps (n, c, h, w)."""
        features: torch.Tensor = self.model.forward_features(images)
        return features


def _pooled(model: Any) -> Network | None:
    """Return the model cut into maps and linear head if that computes the same, else None."""
    head = model.get_classifier()
    if not isinstance(head, nn.Linear):
        return None
    training, size = model.training, model.default_cfg.get("input_size", (3, 224, 224))[-1]
    model.eval()
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(1, 1, size, size, generator=generator)
    with torch.no_grad():
        features = model.forward_features(images)
        same = (
            features.ndim == 4
            and features.shape[1] == head.in_features
            and torch.allclose(head(features.mean((2, 3))), model(images), atol=1e-4)
        )
    model.train(training)
    if not same:
        return None
    model.reset_classifier(0)
    return Network(_Features(model), head, pooled=True)
