"""Foreign graphs made by hand, and descriptions of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper, parser

SIZE = 40
CLASSES = 4

_NETWORK = """
<ir_version: 8, opset_import: ["" : {opset}{domain}]>
network ({type}[{batch}, {axes}] picture{more}) => (float[{batch}, 4] scores)
{{
    {to_channels_first}
    {before}
    edges = Conv <kernel_shape = [5, 5], strides = [3, 3]> (planes, filters)
    active = Relu(edges)
    pooled = GlobalAveragePool(active)
    features = Flatten <axis = 1> (pooled)
    scores = Gemm(features, weights)
}}
"""

DESCRIPTION = """\
name = "hospital"
version = "1"
architecture = "a network of the tests"

[input]
layout = "{layout}"
channels = {channels}
fit = "stretch"
normalisation = "{normalisation}"

[[findings]]
name = "effusion"
title = "Pleural effusion"
index = 2
kind = "logit"
positive_class = "pleural effusion"
negative_class = "no pleural effusion"
negative_means = "absent"
threshold = 0.5
chosen = "fixed in advance"

[[findings]]
name = "mass"
index = 0
kind = "softmax"
inverted = true
positive_class = "mass"
negative_class = "no mass"
threshold = 0.25
chosen = "fixed in advance"

[abnormal]
negative_is_normal = true

[intended_use]
modalities = ["CR", "DX"]
views = ["PA", "AP"]
age_from = 18
"""


def network(
    *,
    layout: str = "NHWC",
    channels: int = 3,
    batch: str = "n",
    opset: int = 18,
    kind: str = "float",
    before: str = "",
    more: str = "",
    domain: str = "",
) -> onnx.ModelProto:
    """A convolution, a mean and a linear layer. ``before``: nodes before them, in ONNX's own notation."""
    axes = {"NHWC": f"{SIZE}, {SIZE}, {channels}", "NCHW": f"{channels}, {SIZE}, {SIZE}"}[layout]
    source = "picture" if kind == "float" else "asked"
    cast = "" if kind == "float" else "asked = Cast <to = 1> (picture)"
    turned = f"planes = Transpose <perm = [0, 3, 1, 2]> ({source})"
    made = parser.parse_model(
        _NETWORK.format(
            opset=opset,
            type=kind,
            batch=batch,
            axes=axes,
            before=before,
            more=more,
            domain=domain,
            to_channels_first=cast + (turned if layout == "NHWC" else f"planes = Identity({source})"),
        )
    )
    rng = np.random.default_rng(0)
    scale = 1 / 255 if kind == "uint8" else 1.0
    filters = rng.normal(0, 0.3 * scale, (8, channels, 5, 5)).astype(np.float32)
    weights = rng.normal(0, 1, (8, CLASSES)).astype(np.float32)
    made.graph.initializer.append(numpy_helper.from_array(filters, "filters"))
    made.graph.initializer.append(numpy_helper.from_array(weights, "weights"))
    return made


def description(*, layout: str = "NHWC", channels: int = 3, normalisation: str = "imagenet", changes: str = "") -> str:
    """The description of ``network``; ``changes`` are further tables."""
    return DESCRIPTION.format(layout=layout, channels=channels, normalisation=normalisation) + changes


def write(folder: Path, model: onnx.ModelProto, text: str) -> tuple[Path, Path]:
    """The paths of a graph and its description, written."""
    graph, described = folder / "given.onnx", folder / "given.toml"
    onnx.save_model(model, str(graph))
    described.write_text(text)
    return graph, described
