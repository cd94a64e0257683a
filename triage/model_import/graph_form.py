"""A description held against its graph: what contradicts it, and the wrapping that follows from both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from onnx import TensorProto

from triage.model.wrapping_foreign import FeatureTensor, ForeignWrapping, NetworkInput, OutputColumn
from triage.model_import.description import (
    GREATEST,
    SMALLEST,
    DistanceDescription,
    FindingDescription,
    InputDescription,
    MapDescription,
)
from triage.model_import.description_file import DescriptionFile
from triage.model_import.errors import Mistake
from triage.model_import.feature_tensor import last_linear_input
from triage.model_import.graph import ForeignGraph, Tensor
from triage.model_import.normalisation import SharedNormalisation, share
from triage.radiograph.preprocess import PreprocessSpec

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
_TAKEN = (*_FLOATS, TensorProto.UINT8, TensorProto.INT32, TensorProto.INT64)
_RANKS_OF_FEATURES = (2, 3, 4)
_INTEGERS = (TensorProto.UINT8, TensorProto.INT32, TensorProto.INT64)
_FEWEST_GREYS = 100
"""Levels of a grey scale that are left when it is rounded: radiographs of eight bits have 256."""


@dataclass(frozen=True, eq=False)
class Form:
    """The wrapping that follows from a description and its graph.

    ``columns``: the findings' positions in the description, and their column of ``probability``. ``chosen_features``:
    the feature tensor was not named, but found.
    """

    wrapping: ForeignWrapping
    columns: Mapping[int, int]
    chosen_features: bool


class FormReader:
    """Compares one description with one graph. ``mistakes`` are complete after ``form``."""

    def __init__(self, described: DescriptionFile, graph: ForeignGraph) -> None:
        self._described = described
        self._graph = graph
        self.mistakes: list[Mistake] = []

    def form(self) -> Form | None:
        """Return the form; None where the mistakes leave none."""
        network_input = self._input()
        columns = dict(self._columns())
        features, chosen = self._features()
        maps = self._maps()
        if network_input is None or not columns or self.mistakes or self._described.mistakes:
            return None
        spec, made = network_input
        wrapping = ForeignWrapping(spec, made, list(columns.values()), features, maps)
        return Form(wrapping, {number: place for place, number in enumerate(columns)}, chosen)

    def _wrong(self, key: tuple[str | int, ...], text: str) -> None:
        self.mistakes.append(Mistake(key, text))

    def _input(self) -> tuple[PreprocessSpec, NetworkInput] | None:
        described, tensor = self._described.table("input", InputDescription), self._graph.input
        if described is None or any(not hasattr(described, each) for each in ("layout", "channels")):
            return None
        before = len(self.mistakes)
        if described.name not in ("", tensor.name):
            self._wrong(("input", "name"), f"the graph's input is called {tensor.name}")
        if tensor.element_type not in _TAKEN:
            self._wrong(("input",), f"images cannot be given as {tensor.readable}: export it with a float32 input")
        size = self._size(described, tensor)
        if size is None or len(self.mistakes) > before or self._described.mistakes:
            return None
        shared = share(described, size)
        if doubt := _lost_in_integers(tensor, shared):
            self._wrong(("input", "normalisation"), doubt)
            return None
        form = NetworkInput(described.layout, described.channels, tensor.element_type, shared.mean, shared.deviation)
        return shared.spec, form

    def _size(self, described: InputDescription, tensor: Tensor) -> int | None:
        """Return rows and columns of the network's input, of graph and description; None after a mistake."""
        layout = described.layout
        axes: dict[str, int | str] = dict.fromkeys(layout, "")
        if layout == "NHW" and described.channels != 1:
            self._wrong(("input", "channels"), "NHW has no axis for channels: 1 is all that there can be")
        if tensor.shape is not None:
            if len(tensor.shape) != len(layout):
                self._wrong(
                    ("input", "layout"), f"{layout} has {len(layout)} axes, and the graph's input is {tensor.readable}"
                )
                return None
            axes = dict(zip(layout, tensor.shape, strict=True))
        if isinstance(axes.get("C"), int) and axes["C"] != described.channels:
            self._wrong(
                _channel_key(axes["C"]), f"with {layout} the graph's input, {tensor.readable}, has {axes['C']} channels"
            )
            return None
        sides = {side for side in (axes["H"], axes["W"]) if isinstance(side, int)}
        if len(sides) > 1:
            self._wrong(("input",), f"the graph's input is no square: {tensor.readable}")
            return None
        return self._agreed_size(described.size, sides.pop() if sides else None)

    def _agreed_size(self, described: int | None, stated: int | None) -> int | None:
        if described and stated and described != stated:
            self._wrong(("input", "size"), f"the graph takes {stated} x {stated} pixels")
            return None
        size = described or stated
        if size is None:
            self._wrong(("input", "size"), "is missing: the graph takes images of any size, and the service makes one")
        elif not SMALLEST <= size <= GREATEST:
            self._wrong(("input",), f"the graph takes {size} x {size} pixels, and {SMALLEST} to {GREATEST} can be made")
            return None
        return size

    def _columns(self) -> Iterator[tuple[int, OutputColumn]]:
        """Yield the position of each finding that has an output, and its column. Outputs of none are checked too."""
        taken: dict[OutputColumn, int] = {}
        for number, finding in self._described.findings.items():
            if finding.rule is None:
                output = self._output(number, finding)
                if output is not None and finding.is_finding and finding.kind is not None:
                    column = OutputColumn(output.name, finding.index, finding.kind, finding.inverted)
                    self._check_alone(number, column, taken)
                    yield number, column

    def _check_alone(self, number: int, column: OutputColumn, taken: dict[OutputColumn, int]) -> None:
        if column in taken:
            self._wrong(
                ("findings", number, "index"),
                f"is the column of finding {taken[column] + 1} too: two thresholds of one score would make an urgency "
                "of how high it is, and a probability is no severity",
            )
        taken.setdefault(column, number)

    def _output(self, number: int, finding: FindingDescription) -> Tensor | None:
        outputs = self._graph.outputs
        name = finding.output or (next(iter(outputs)) if len(outputs) == 1 else "")
        if name not in outputs:
            what = f"the graph has no output {name}: " if name else "is missing: the graph has several outputs, "
            self._wrong(("findings", number, "output"), what + ", ".join(each.readable for each in outputs.values()))
            return None
        output = outputs[name]
        if output.element_type not in _FLOATS:
            self._wrong(("findings", number, "output"), f"is no output of scores: {output.readable}")
            return None
        columns = _columns_of(output)
        if columns == 0:
            self._wrong(("findings", number, "output"), f"has no scores of whole images: {output.readable}")
            return None
        if columns is not None and finding.index >= columns:
            self._wrong(
                ("findings", number, "index"), f"the graph's output {output.readable} has columns 0 to {columns - 1}"
            )
            return None
        if columns == 1 and finding.kind == "softmax":
            self._wrong(("findings", number, "kind"), "softmax of one class is always 1: is it a logit?")
            return None
        return output

    def _features(self) -> tuple[FeatureTensor | None, bool]:
        described = self._described.table_or_default("distance", DistanceDescription)
        if described.without:
            return None, False
        name = described.features or last_linear_input(self._graph.model)
        tensor = self._graph.tensors.get(name)
        if tensor is None or tensor.shape is None:
            if described.features:
                self._wrong(("distance", "features"), f"the graph has no tensor {name} of known shape")
            return None, False
        if len(tensor.shape) not in _RANKS_OF_FEATURES or tensor.element_type not in _FLOATS:
            if described.features:
                self._wrong(
                    ("distance", "features"),
                    f"must be (n, p), (n, tokens, p) or (n, p, rows, columns), not {tensor.readable}",
                )
            return None, False
        return FeatureTensor(name, len(tensor.shape)), not described.features

    def _maps(self) -> str:
        described = self._described.table("map", MapDescription)
        if described is None:
            for number, finding in self._described.findings.items():
                if finding.map is not None:
                    self._wrong(("findings", number, "map"), "there is no [map] output")
            return ""
        if "output" not in described.model_fields_set:  # a mistake of the file
            return ""
        output = self._graph.outputs.get(described.output)
        if output is None or output.shape is None or len(output.shape) not in (3, 4):
            self._wrong(("map", "output"), "must be an output (n, rows, columns) or (n, maps, rows, columns)")
            return ""
        self._check_maps(1 if len(output.shape) == 3 else output.shape[1])
        return output.name

    def _check_maps(self, count: int | str) -> None:
        for number, finding in self._described.findings.items():
            if isinstance(count, int) and finding.map is not None and finding.map >= count:
                self._wrong(("findings", number, "map"), f"the graph has maps 0 to {count - 1}")


def _lost_in_integers(tensor: Tensor, shared: SharedNormalisation) -> str:
    """Return what an integer input loses of the grey scale by rounding or cutting; empty if it has all of it."""
    if tensor.element_type not in _INTEGERS:
        return ""
    ends = [[(level - shared.spec.mean) / shared.spec.deviation for level in (0.0, 1.0)]]
    if shared.mean:
        ends = [
            [(level - mean) / deviation for level in ends[0]]
            for mean, deviation in zip(shared.mean, shared.deviation, strict=True)
        ]
    least, most = min(map(min, ends)), max(map(max, ends))
    kept = f"the graph takes whole numbers ({tensor.readable}), and black to white would be {least:g} to {most:g}"
    if any(abs(white - black) < _FEWEST_GREYS for black, white in ends):
        return f"{kept}: hardly a grey would be left. Which values was it trained with?"
    if tensor.element_type == TensorProto.UINT8 and (least < 0 or most > 255):
        return f"{kept}: a byte holds 0 to 255"
    return ""


def _channel_key(stated: int | str) -> tuple[str, str]:
    """Return the key that is probably wrong: a graph with more than four "channels" has another layout."""
    return ("input", "channels") if stated in (1, 3) else ("input", "layout")


def _columns_of(output: Tensor) -> int | None:
    """Return the columns of an output, 0 for one that is no scores of images, None where they are not known."""
    if output.shape is None:
        return None
    if len(output.shape) < 2:
        return len(output.shape)
    rest = output.shape[1:]
    if len(rest) > 1 and any(side != 1 for side in rest[1:]):
        return 0 if all(isinstance(side, int) for side in rest[1:]) else None
    return rest[0] if isinstance(rest[0], int) else None
