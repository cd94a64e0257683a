"""Opening of a foreign ONNX file: refused or not, its functions resolved, and of an opset that can be wrapped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto, ValueInfoProto, checker, defs, inliner, load_from_string, version_converter
from onnx.shape_inference import InferenceError, infer_shapes

from triage.errors import cause
from triage.model.onnx_file import NotOnnxError, has_external_data
from triage.model.wrapping_graph import LARGEST, OPSET
from triage.model_import.errors import ImportRefusedError
from triage.model_import.graph_refusals import refusals

Shape = tuple[int | str, ...]
"""Sizes of the axes of a tensor: a number, or a name (or nothing) where it is open."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of a graph: name, type (of TensorProto), and shape; None if that is not known."""

    name: str
    element_type: int
    shape: Shape | None

    @property
    def readable(self) -> str:
        """Name, type and shape in words."""
        kind = TensorProto.DataType.Name(self.element_type).lower()
        shape = (
            "of unknown shape" if self.shape is None else "(" + ", ".join(str(each or "?") for each in self.shape) + ")"
        )
        return f"{self.name}, {kind} {shape}"


@dataclass(frozen=True, eq=False)
class ForeignGraph:
    """A graph that may be wrapped.

    ``content``: the file as it is, the reference for what the wrapped graph computes. ``model``: the same with its
    functions resolved, of opset 18 or later. ``tensors``: those inside, whose shapes could be inferred.
    """

    content: bytes
    model: ModelProto
    input: Tensor
    outputs: dict[str, Tensor]
    tensors: dict[str, Tensor]
    notes: tuple[str, ...]

    @property
    def batch(self) -> int | None:
        """The number of images that the graph states for a run; None if it is open."""
        first = self.input.shape[0] if self.input.shape else ""
        return first if isinstance(first, int) else None

    def of_any_batch(self) -> ModelProto:
        """Return the model with its number of images left open: exporters state 1 for graphs that take any."""
        if self.batch is None:
            return self.model
        model = ModelProto()
        model.CopyFrom(self.model)
        del model.graph.value_info[:]
        for declared in (*_inputs(model), *model.graph.output):
            axes = declared.type.tensor_type.shape.dim
            if axes and axes[0].dim_value == self.batch:
                axes[0].dim_param = "n"
        return model


def open_graph(path: Path) -> ForeignGraph:
    """Read and check an ONNX file. Raises ImportRefusedError with all reasons."""
    content = _content(path)
    model, notes = _resolved(path, content)
    found = list(refusals(model))
    inputs = _inputs(model)
    if len(inputs) != 1:
        listed = "; ".join(_tensor(each).readable for each in inputs) or "none"
        found.append(f"it has {len(inputs)} inputs ({listed}), and one image is all that the service has for it")
    if not model.graph.output:
        found.append("it has no output")
    found += [
        f"its input {each.name} has an axis of {side}: save it with a name for an axis that is open, such as n"
        for each in map(_tensor, inputs)
        for side in each.shape or ()
        if isinstance(side, int) and side < 1
    ]
    if found:
        raise ImportRefusedError([f"{path}: {each}" for each in found])
    model, converted = _of_known_opset(path, model)
    return ForeignGraph(
        content,
        model,
        _tensor(inputs[0]),
        {each.name: _tensor(each) for each in model.graph.output},
        {each.name: _tensor(each) for each in (*model.graph.value_info, *model.graph.output)},
        (*notes, *converted),
    )


def _content(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise ImportRefusedError([f"{path} is no file"])
    try:
        if path.stat().st_size > LARGEST:
            raise ImportRefusedError([f"{path} is larger than one ONNX file can be (2 GiB)"])
        content = path.read_bytes()
    except OSError as error:
        raise ImportRefusedError([f"{path} cannot be read: {cause(error)}"]) from error
    try:
        external = has_external_data(content)
    except NotOnnxError as error:
        raise ImportRefusedError([f"{path} is no ONNX file: {error}"]) from error
    if external:
        raise ImportRefusedError(
            [
                f"{path} has its weights in another file, which no digest of a card covers: save it as one file "
                "(onnx.save_model with save_as_external_data=False)"
            ]
        )
    return content


def _resolved(path: Path, content: bytes) -> tuple[ModelProto, tuple[str, ...]]:
    """Return the parsed model with its functions in their places, and a note if it had any."""
    try:
        model = load_from_string(content)
        if not model.functions:
            return model, ()
        count = len(model.functions)
        return inliner.inline_local_functions(model), (f"{count} functions of the graph were resolved",)
    except (DecodeError, RuntimeError, ValueError) as error:
        raise ImportRefusedError([f"{path} is no ONNX file: {_first_line(error)}"]) from error


def _of_known_opset(path: Path, model: ModelProto) -> tuple[ModelProto, tuple[str, ...]]:
    """Return the checked model with inferred shapes, converted where its opset is too old, and a note on that."""
    notes: tuple[str, ...] = ()
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 1)
    if opset > defs.onnx_opset_version():
        raise ImportRefusedError(
            [f"{path} has opset {opset}, and {defs.onnx_opset_version()} is the last that is known here: export it so"]
        )
    try:
        if opset < OPSET:
            model = version_converter.convert_version(model, OPSET)
            notes = (f"converted from opset {opset} to {OPSET}; what it computes was compared",)
        model = infer_shapes(model, check_type=True, data_prop=True)
        checker.check_model(model)
    except (checker.ValidationError, InferenceError, version_converter.ConvertError, RuntimeError) as error:
        raise ImportRefusedError([f"{path} (opset {opset}) is not a graph that holds: {_first_line(error)}"]) from error
    return model, notes


def _inputs(model: ModelProto) -> list[ValueInfoProto]:
    """Return the inputs that a caller must feed: an old file lists its weights among them."""
    weights = {weight.name for weight in model.graph.initializer}
    weights |= {weight.values.name for weight in model.graph.sparse_initializer}
    return [each for each in model.graph.input if each.name not in weights]


def _tensor(declared: ValueInfoProto) -> Tensor:
    tensor = declared.type.tensor_type
    shape = None
    if tensor.HasField("shape"):
        shape = tuple(axis.dim_value if axis.HasField("dim_value") else axis.dim_param for axis in tensor.shape.dim)
    return Tensor(declared.name, tensor.elem_type, shape)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]
