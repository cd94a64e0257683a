"""PURE: which part of a network's normalisation the service's preprocessing does, and which the graph."""

from __future__ import annotations

from dataclasses import dataclass

from triage.model_import.description import InputDescription
from triage.radiograph.preprocess import Levels, PreprocessSpec

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
"""Of torchvision's and timm's weights, for the channels red, green and blue of 0 to 1."""


@dataclass(frozen=True)
class _Normalised:
    levels: Levels
    range: tuple[float, float]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


@dataclass(frozen=True)
class SharedNormalisation:
    """``spec``: the service's preprocessing. ``mean`` and ``deviation``: of each channel in the graph; empty: none."""

    spec: PreprocessSpec
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()


def share(described: InputDescription, size: int) -> SharedNormalisation:
    """Return who normalises what, for a network that takes ``size`` x ``size`` pixels.

    One mean and deviation for all channels are of the preprocessing; others are of the graph, and the preprocessing
    then gives levels of 0 to 1.
    """
    normal = _normalised(described)
    black, span = normal.range[0], normal.range[1] - normal.range[0]
    mean = tuple((each - black) / span for each in normal.mean)
    deviation = tuple(each / span for each in normal.deviation)
    if len(set(zip(mean, deviation, strict=True))) == 1 and deviation[0] > 0:
        return SharedNormalisation(_spec(described, size, normal.levels, mean[0], deviation[0]))
    return SharedNormalisation(_spec(described, size, normal.levels, 0.0, 1.0), mean, deviation)


def _spec(described: InputDescription, size: int, levels: Levels, mean: float, deviation: float) -> PreprocessSpec:
    return PreprocessSpec(
        size=size,
        fit=described.fit,
        low_percentile=described.percentiles[0],
        high_percentile=described.percentiles[1],
        mean=mean,
        deviation=deviation,
        crop=described.crop,
        levels=levels,
        resize=described.resize,
    )


def _normalised(described: InputDescription) -> _Normalised:
    """Return mean and deviation of each channel, ours for what a name of a normalisation stands for."""
    if described.normalisation == "torchxrayvision":
        found = _Normalised("full", (-1024.0, 1024.0), (0.0,), (1.0,))
    elif described.normalisation == "imagenet":
        found = _Normalised("full", (0.0, 1.0), IMAGENET_MEAN, IMAGENET_DEVIATION)
    elif described.normalisation == "cxr-triage":
        found = _Normalised("percentiles", (0.0, 1.0), (0.5,), (0.25,))
    else:
        assert described.range is not None
        found = _Normalised("full", described.range, described.mean or (0.0,), described.deviation or (1.0,))
    mean, deviation = (_for_each(values, described.channels) for values in (found.mean, found.deviation))
    return _Normalised(described.levels or found.levels, found.range, mean, deviation)


def _for_each(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return values if len(values) == channels else values * channels
