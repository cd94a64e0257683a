"""Architectures of torchvision, without their classifiers of 1,000 classes.

torchvision is imported when a network is built: its import takes seconds.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from training.networks.network import Network, sum_first_convolution
from training.networks.registry import IMAGENET, SCRATCH, NetworkSpec, architecture
from training.networks.weights import load_imagenet, read_weights, weights_file


@architecture("alexnet", "vgg16", "vgg19")
def alexnet_or_vgg(spec: NetworkSpec) -> Network:
    """Build AlexNet or VGG, with its fully connected head or with pooling (``head`` ``pool``)."""
    network = _original(spec)
    if spec.head == "pool":
        channels = [module for module in network.features if isinstance(module, nn.Conv2d)][-1].out_channels
        return _grey(Network(network.features, nn.Linear(channels, spec.outputs), pooled=True, dropout=0.5))
    classifier = [*network.classifier[:-1], nn.Linear(network.classifier[-1].in_features, spec.outputs)]
    return _grey(Network(network.features, nn.Sequential(network.avgpool, nn.Flatten(), *classifier), pooled=False))


@architecture("inception_v3")
def inception(spec: NetworkSpec) -> Network:
    """Build Inception v3 without its auxiliary classifier."""
    network = _original(spec)
    left_out = ("AuxLogits", "avgpool", "dropout", "fc")
    trunk = nn.Sequential(*(module for key, module in network.named_children() if key not in left_out))
    return _grey(Network(trunk, nn.Linear(network.fc.in_features, spec.outputs), pooled=True, dropout=0.5))


@architecture("resnet18", "resnet50")
def resnet(spec: NetworkSpec) -> Network:
    """Build a ResNet (He et al. 2016)."""
    network = _original(spec)
    trunk = nn.Sequential(*list(network.children())[:-2])
    return _grey(Network(trunk, nn.Linear(network.fc.in_features, spec.outputs), pooled=True))


@architecture("densenet121")
def densenet(spec: NetworkSpec) -> Network:
    """Build DenseNet-121."""
    network = _original(spec)
    trunk = nn.Sequential(network.features, nn.ReLU())
    return _grey(Network(trunk, nn.Linear(network.classifier.in_features, spec.outputs), pooled=True))


def _grey(network: Network) -> Network:
    sum_first_convolution(network)
    return network


def _original(spec: NetworkSpec) -> Any:
    """Return torchvision's network with 1,000 classes, without Inception's auxiliary classifier."""
    from training.networks.torchvision_ops import models

    is_inception = spec.name == "inception_v3"
    make = getattr(models, spec.name)
    options = {"init_weights": spec.weights == SCRATCH, "aux_logits": False} if is_inception else {}
    if spec.weights == SCRATCH:
        return make(**options)
    if spec.weights == IMAGENET:
        return load_imagenet(spec.name, lambda: make(weights="IMAGENET1K_V1"))
    state = read_weights(weights_file(spec.weights))
    network = make(**options)
    kept = {key: value for key, value in state.items() if not key.startswith("AuxLogits.")}
    load_imagenet(spec.name, lambda: network.load_state_dict(kept))
    return network
