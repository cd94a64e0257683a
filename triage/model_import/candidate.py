"""A foreign model that was checked: its description and graph held together, and the wrapped graph compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from onnx import ModelProto

from triage.model_import.agreement import agreed_wrapping, constant_mistakes, score_doubts, score_mistakes
from triage.model_import.description import Description, DistanceDescription
from triage.model_import.description_file import DescriptionFile, finding_mistakes, read_description
from triage.model_import.errors import ImportRefusedError, Mistake
from triage.model_import.graph import ForeignGraph, open_graph
from triage.model_import.graph_form import Form, FormReader
from triage.model_import.site_images import SiteFile
from triage.model_import.trial_images import trial_images
from triage.scoring.assess import AssessmentPolicy


@dataclass(frozen=True)
class ImportRequest:
    """Files to import. ``images``: the site's, for the distance; ``origin``: where they are from, in words."""

    graph: Path
    description: Path
    images: Sequence[SiteFile] = ()
    origin: str = ""
    policy: AssessmentPolicy = field(default_factory=AssessmentPolicy)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A model that was checked: its description and graph, the form of both, and notes for people."""

    described: Description
    graph: ForeignGraph
    form: Form
    notes: tuple[str, ...]

    @property
    def network(self) -> ModelProto:
        """The network to wrap."""
        return self.graph.of_any_batch() if self.form.wrapping.batch == "n" else self.graph.model


def check_candidate(request: ImportRequest, *, for_import: bool = False) -> Candidate:
    """Check description and graph, and that the wrapped graph computes what the given one does.

    ``for_import``: the distance must be possible. Raises ImportRefusedError with all mistakes at once.
    """
    described = read_description(request.description)
    refused: tuple[str, ...] = ()
    graph = form = None
    mistakes = [*described.mistakes, *finding_mistakes(described)]
    try:
        graph = open_graph(request.graph)
    except ImportRefusedError as error:
        refused = error.mistakes
    else:
        reader = FormReader(described, graph)
        form = reader.form()
        mistakes += reader.mistakes
    if for_import:
        mistakes += _distance_mistakes(described, request)
    if mistakes or refused or graph is None or form is None:
        raise ImportRefusedError([*described.places.readable(mistakes, request.graph), *refused])
    return _compared(described, graph, form, request)


def _distance_mistakes(described: DescriptionFile, request: ImportRequest) -> Iterator[Mistake]:
    without = described.table_or_default("distance", DistanceDescription).without
    if not without and not request.images:
        yield Mistake(
            ("distance",),
            "a model needs a distance from the site's images: give some with --images or --cohort, or say in "
            "distance.without, in a sentence, that the site knows what is missing; such a model never says normal",
        )
    if without and request.images:
        yield Mistake(("distance", "without"), "says that there is no distance, and images are given for one")


def _compared(described: DescriptionFile, graph: ForeignGraph, form: Form, request: ImportRequest) -> Candidate:
    images = trial_images(form.wrapping.spec)
    with TemporaryDirectory() as work:
        wrapping, scores = agreed_wrapping(graph, form.wrapping, images, Path(work))
    numbers = {place: number for number, place in form.columns.items()}
    wrong = [
        Mistake(("findings", numbers[place], "kind"), text) for place, text in score_mistakes(scores, wrapping.columns)
    ]
    alike = list(constant_mistakes(scores))
    if any(each.is_measured for each in described.findings.values()):  # by what, if it does not see the image?
        wrong += [Mistake((), text) for text in alike]
    if wrong:
        raise ImportRefusedError(described.places.readable(wrong, request.graph))
    form = replace(form, wrapping=wrapping)
    doubts = [f"findings[{numbers[place] + 1}].kind: {text}" for place, text in score_doubts(scores, wrapping.columns)]
    return Candidate(described.whole(), graph, form, (*_notes(described, graph, form), *(alike or doubts)))


def _notes(described: DescriptionFile, graph: ForeignGraph, form: Form) -> Iterator[str]:
    yield from graph.notes
    if form.wrapping.features is not None and form.chosen_features:
        tensor = graph.tensors[form.wrapping.features.name]
        yield f"features for the distance: the input of the last linear layer, {tensor.readable}"
    if form.wrapping.features is None and not described.table_or_default("distance", DistanceDescription).without:
        yield "no feature tensor was found or named: the distance is that of the thumbnail alone"
    if form.wrapping.batch == 1:
        yield "the graph takes one image at a time: it runs on the CPU alone"
    unused = [each for each in _unused(graph, form) if each]
    if unused:
        yield f"no findings, for want of a name or a threshold: {', '.join(unused)}"


def _unused(graph: ForeignGraph, form: Form) -> Iterator[str]:
    """Yield the columns of the graph's outputs that no finding has."""
    used = {(column.output, column.index) for column in form.wrapping.columns}
    for name, output in graph.outputs.items():
        if name == form.wrapping.map_output:
            continue
        count = output.shape[1] if output.shape is not None and len(output.shape) > 1 else 1
        if not isinstance(count, int):
            continue
        left = [index for index in range(count) if (name, index) not in used]
        if left:
            yield f"{name} {', '.join(map(str, left))}"
