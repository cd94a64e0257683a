"""PURE: external data of an ONNX file. Reads the protocol buffer alone: no tensor is copied, no code is run.

A tensor may name another file for its data (onnx.proto, TensorProto.external_data). The digest in the card is of the
ONNX file alone, so that such data could be exchanged unnoticed.
"""

from __future__ import annotations

from collections.abc import Iterator

from triage.errors import TriageError

Message = dict[int, str]

_MESSAGES: dict[str, Message] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {13: "StringStringEntryProto"},
}
"""By message, the numbers of the fields that contain, or lead to, tensors (onnx.proto, IR version 3 and later)."""
_EXTERNAL_DATA, _DATA_LOCATION, _EXTERNAL = 13, 14, 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class NotOnnxError(TriageError, ValueError):
    """Bytes that are no ONNX file; the message has the position."""


def has_external_data(content: bytes) -> bool:
    """Return True if any tensor of the model has its data in another file. Raises NotOnnxError."""
    view, waiting, graphs = memoryview(content), [("ModelProto", 0, len(content))], 0
    while waiting:
        kind, start, end = waiting.pop()
        for number, wire, value, last in fields(view, start, end):
            if kind == "TensorProto" and number == _EXTERNAL_DATA:
                return True
            if kind == "TensorProto" and number == _DATA_LOCATION and wire == _VARINT and value == _EXTERNAL:
                return True
            inner = _MESSAGES[kind].get(number)
            if inner is None or wire != _BYTES:
                continue
            graphs += inner == "GraphProto"
            waiting.append((inner, value, last))
    if not graphs:
        raise NotOnnxError("it holds no graph")
    return False


def fields(view: memoryview, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield field number, wire type, the value of a varint or the start of bytes, and the end of the field."""
    at = start
    while at < end:
        key, at = varint(view, at, end)
        number, wire = key >> 3, key & 7
        value = at
        if wire == _VARINT:
            value, at = varint(view, at, end)
        elif wire == _BYTES:
            length, value = varint(view, at, end)
            at = value + length
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        else:
            raise NotOnnxError(f"wire type {wire} at byte {at}")
        if at > end:
            raise NotOnnxError(f"a field runs over its end at byte {end}")
        yield number, wire, value, at


def varint(view: memoryview, at: int, end: int) -> tuple[int, int]:
    """Return the number that begins at byte ``at``, and where the next field begins. Raises NotOnnxError."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise NotOnnxError(f"it is cut at byte {at}")
        byte, at = view[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise NotOnnxError(f"a number without end at byte {at}")
