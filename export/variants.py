"""Smaller graphs of the same model: half precision, and eight bits."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from triage.model import onnx_runtime  # noqa: F401  # silences ONNX Runtime, whose tools are loaded below

# isort: split

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

from export.parity import batches
from training.data.images import Bytes
from triage.radiograph.preprocess import PreprocessSpec

Variant = Literal["fp32", "fp16", "int8"]


def write_variant(weights: Path, variant: Variant, images: Bytes, spec: PreprocessSpec) -> None:
    """Replace the fp32 graph at ``weights`` by a variant.

    Inputs and outputs stay float32, and so does the computation of the distance, whose input fp16 rounds to half
    precision. ``images`` are training images (n, s, s), by which int8 finds the ranges of its activations.
    """
    if variant == "fp16":
        kept = _only_for_distance(onnx.load(weights))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of weights that round to the smallest half
            half = convert_float_to_float16(onnx.load(weights), keep_io_types=True, node_block_list=kept)
        onnx.save(half, weights)
        return
    with tempfile.TemporaryDirectory(dir=weights.parent) as folder:
        prepared, quantised = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(str(weights), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(quantised),
            _Images(images, spec),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_only_for_distance(onnx.load(prepared)),
        )
        quantised.replace(weights)


class _Images(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self, images: Bytes, spec: PreprocessSpec) -> None:
        self._batches: Iterator[Any] = iter(batches(images, spec))

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch by the name of the input, None at the end."""
        batch = next(self._batches, None)
        return None if batch is None else {"image": batch.numpy()}


def _only_for_distance(model: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes that ``distance`` needs and ``logit`` does not."""
    return sorted(_needed(model, "distance") - _needed(model, "logit"))


def _needed(model: onnx.ModelProto, output: str) -> set[str]:
    maker = {name: node for node in model.graph.node for name in node.output}
    found: set[str] = set()
    waiting = [output]
    while waiting:
        node = maker.get(waiting.pop())
        if node is not None and node.name not in found:
            found.add(node.name)
            waiting.extend(node.input)
    return found
