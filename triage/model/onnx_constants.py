"""PURE: constants of an ONNX file by name, read from the protocol buffer alone: no code is run."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt

from triage.model.distribution import CONTRAST_SCALE, Subspace
from triage.model.onnx_file import NotOnnxError, fields, varint

_GRAPH, _INITIALIZER = 7, 5  # ModelProto.graph, GraphProto.initializer (onnx.proto)
_DIMS, _DATA_TYPE, _NAME, _RAW_DATA = 1, 2, 8, 9  # of TensorProto
_FLOAT = 1

_OF_DISTANCE = ("subspace_mean", "components_transposed", "variances", "term_scales", "contrast_mean")
"""Constants of the distance in a released graph (wrapping.py)."""
_TERMS = 3  # inside and outside the subspace, and contrast


def subspace_in(content: bytes) -> Subspace | None:
    """Return the subspace of the training images in a released graph.

    None for a graph without one, or whose distance is measured in features of its network, too.

    Raises NotOnnxError for bytes that are no ONNX file.
    """
    found = {name: values.astype(np.float64) for name, values in _floats(content, _OF_DISTANCE)}
    if len(found) < len(_OF_DISTANCE) or found["term_scales"].size != _TERMS:
        return None
    inside, outside, contrast = found["term_scales"]
    return Subspace(
        found["subspace_mean"].ravel(),
        found["components_transposed"].T,
        found["variances"].ravel(),
        float(inside),
        float(outside),
        float(found["contrast_mean"]),
        float(contrast) / CONTRAST_SCALE,
    )


def _floats(content: bytes, names: Collection[str]) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Yield the float32 constants of these names that lie in the file as raw bytes."""
    view = memoryview(content)
    for number, _, start, end in fields(view, 0, len(content)):
        if number != _GRAPH:
            continue
        for inner, _, first, last in fields(view, start, end):
            if inner == _INITIALIZER:
                yield from _float(view, first, last, names)


def _float(
    view: memoryview, start: int, end: int, names: Collection[str]
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    name, kind, dims, raw = "", 0, list[int](), b""
    for number, wire, value, last in fields(view, start, end):
        if number == _DIMS:
            dims += [value] if wire == 0 else _packed(view, value, last)
        elif number == _DATA_TYPE:
            kind = value
        elif number == _NAME:
            name = bytes(view[value:last]).decode(errors="replace")
            if name not in names:
                return
        elif number == _RAW_DATA:
            raw = bytes(view[value:last])
    if name in names and kind == _FLOAT and raw:
        try:
            yield name, np.frombuffer(raw, dtype="<f4").reshape(dims)
        except ValueError as error:
            raise NotOnnxError(f"its constant {name} does not have its shape: {error}") from error


def _packed(view: memoryview, at: int, end: int) -> Iterator[int]:
    while at < end:
        value, at = varint(view, at, end)
        yield value
