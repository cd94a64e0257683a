"""The wrapped graph against the file that was given, on the same images: the same scores, and each image for itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import helper, save_model

from triage.model.wrapping_foreign import ForeignWrapping, OutputColumn, wrap_foreign
from triage.model.wrapping_graph import NetworkError
from triage.model_import.errors import ImportRefusedError
from triage.model_import.graph import ForeignGraph
from triage.model_import.trial_session import TrialInput, TrialSession

FloatImages = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

TOLERANCE = 1e-5
"""Of a probability: float32 in another order of additions."""
IMAGES = 8
PROBABILITY = "probability"
_LOGISTIC_OF_0, _LOGISTIC_OF_1 = 0.5, 1 / (1 + np.exp(-1.0))


class Reference:
    """The file as it was given, fed by numpy with what the wrapped graph should feed it with."""

    def __init__(self, graph: ForeignGraph, wrapping: ForeignWrapping, folder: Path) -> None:
        self._name, self._wrapping = graph.input.name, wrapping
        path = folder / "given.onnx"
        path.write_bytes(graph.content)
        self._dtype = helper.tensor_dtype_to_np_dtype(wrapping.input.element_type)
        first = np.zeros((graph.batch or 1, 1, wrapping.spec.size, wrapping.spec.size), dtype=np.float32)
        outputs = sorted({column.output for column in wrapping.columns})
        fed = TrialInput(self._name, network_image(first, wrapping, self._dtype).shape, self._dtype.name)
        self._session = TrialSession(path, fed, outputs)
        self._batch = graph.batch

    def scores(self, images: FloatImages) -> Floats:
        """Return the scores (n, k) of model inputs (n, 1, s, s), one at a time."""
        return np.concatenate([self._of_one(image[np.newaxis]) for image in images])

    def _of_one(self, image: FloatImages) -> Floats:
        repeated = np.repeat(image, self._batch or 1, axis=0)
        found = self._session.run({self._name: network_image(repeated, self._wrapping, self._dtype)})
        for column in self._wrapping.columns:
            check_rows(column, found[column.output], len(repeated))
        return np.stack([column_scores(found[each.output], each) for each in self._wrapping.columns], axis=1)[:1]


def network_image(images: FloatImages, wrapping: ForeignWrapping, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return the network's input of model inputs (n, 1, s, s), in numpy."""
    form = wrapping.input
    made = np.repeat(images, form.channels, axis=1)
    if form.mean:
        mean, deviation = (
            np.array(each, dtype=np.float32).reshape(1, -1, 1, 1) for each in (form.mean, form.deviation)
        )
        made = (made - mean) / deviation
    if not np.issubdtype(dtype, np.floating):
        made = np.rint(made)
    if dtype == np.uint8:
        made = np.clip(made, 0, 255)
    if form.layout == "NHWC":
        made = made.transpose(0, 2, 3, 1)
    elif form.layout == "NHW":
        made = made[:, 0]
    return np.ascontiguousarray(made).astype(dtype)


def check_rows(column: OutputColumn, output: npt.NDArray[Any], images: int) -> None:
    """Raise ImportRefusedError unless an output has the shape (n,), (n, k) or (n, k, 1, 1) for n images."""
    shape = np.shape(output)
    columns = shape[1] if len(shape) > 1 else 1
    if not shape or shape[0] != images or any(side != 1 for side in shape[2:]) or column.index >= columns:
        raise ImportRefusedError(
            [
                f"the graph's output {column.output} has the shape {list(shape)} for a run of {images}, and column "
                f"{column.index} of scores is looked for there, with a row for each image"
            ]
        )


def column_scores(output: npt.NDArray[Any], column: OutputColumn) -> Floats:
    """Return the scores (n,) of one column of an output as the file gives it, in numpy."""
    values = output.astype(np.float64).reshape(len(output), -1)
    if column.kind == "softmax":
        raised = np.exp(values - values.max(axis=1, keepdims=True))
        values = raised / raised.sum(axis=1, keepdims=True)
    taken = values[:, column.index]
    if column.kind == "logit":
        taken = 1 / (1 + np.exp(-np.clip(taken, -700, 700)))
    return np.asarray(1 - taken if column.inverted else taken)


def agreed_wrapping(
    graph: ForeignGraph, wrapping: ForeignWrapping, images: FloatImages, folder: Path
) -> tuple[ForeignWrapping, Floats]:
    """Return the wrapping whose scores are those of the given file, and the scores (n, k) of ``images`` (n, 1, s, s).

    A graph that states one image for a run is tried with any number first. Raises ImportRefusedError.
    """
    expected = Reference(graph, wrapping, folder).scores(images)
    tried = [wrapping] if graph.batch in (None, 1) else []
    if graph.batch == 1:
        tried.append(replace(wrapping, batch=1))
    if not tried:
        raise ImportRefusedError([f"the graph takes {graph.batch} images in every run: export it for any number"])
    for number, each in enumerate(tried, start=1):
        try:
            _compare(graph, each, images, expected, folder)
        except (ImportRefusedError, NetworkError) as error:
            if number == len(tried):
                raise ImportRefusedError([str(error)]) if isinstance(error, NetworkError) else error from None
        else:
            return each, expected
    raise AssertionError("one of them is returned or raises")


def _compare(
    graph: ForeignGraph, wrapping: ForeignWrapping, images: FloatImages, expected: Floats, folder: Path
) -> None:
    network = graph.of_any_batch() if wrapping.batch == "n" else graph.model
    path = folder / "wrapped.onnx"
    save_model(wrap_foreign(network, wrapping, None), path)
    session = TrialSession(path, TrialInput("image", (1, *images.shape[1:])), [PROBABILITY])
    alone, again = (
        np.concatenate([session.run({"image": image[np.newaxis]})[PROBABILITY] for image in images]) for _ in range(2)
    )
    together = session.run({"image": images})[PROBABILITY] if wrapping.batch == "n" else alone
    found = list(_disagreements(expected, alone, again, together))
    if found:
        raise ImportRefusedError(found)


def _disagreements(expected: Floats, alone: Floats, again: Floats, together: Floats) -> Iterator[str]:
    if not np.array_equal(alone, again, equal_nan=True):
        yield "the graph gives one image another score the second time"
    if (worst := _difference(alone, expected)) > TOLERANCE:
        yield f"the wrapped graph's scores are not those of the given file: {worst:.2g} apart"
    if (worst := _difference(alone, together)) > TOLERANCE:
        yield f"the score of an image depends on the images that are scored with it: {worst:.2g} apart"


def _difference(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> float:
    """Return the largest difference; two values that are no numbers are equal, one alone is infinitely far."""
    if first.shape != second.shape:
        return float("inf")
    differing = ~((first == second) | (np.isnan(first) & np.isnan(second)))
    if not differing.any():
        return 0.0
    worst = float(np.max(np.abs(first[differing].astype(np.float64) - second[differing])))
    return worst if np.isfinite(worst) else float("inf")


def score_mistakes(scores: Floats, columns: Sequence[OutputColumn]) -> Iterator[tuple[int, str]]:
    """Yield the places of columns whose scores (n, k) are no probabilities, with the reason."""
    for place, column in enumerate(columns):
        values = scores[:, place]
        if not np.isfinite(values).all():
            yield place, f"column {column.index} of {column.output} is not a finite number for some images"
        elif values.min() < 0 or values.max() > 1:
            yield (
                place,
                f"column {column.index} of {column.output} gives {values.min():.3g} to {values.max():.3g}, and a "
                f"{column.kind} is 0 to 1: is it a logit?",
            )


def constant_mistakes(scores: Floats) -> Iterator[str]:
    """Yield a mistake if no score tells one image from another: all chests, and noise, have the same.

    Networks with weights that were never trained often are so, and are no more than demonstrations.
    """
    if len(scores) > 1 and np.ptp(scores, axis=0).max() == 0:
        yield (
            "every drawn image has the same scores, chests as noise: the graph does not see the image. Its range or "
            "normalisation may be another than the description says, or its weights were never loaded"
        )


def score_doubts(scores: Floats, columns: Sequence[OutputColumn]) -> Iterator[tuple[int, str]]:
    """Yield the places of columns of which a person should know what they gave for drawn images."""
    for place, column in enumerate(columns):
        if np.ptp(scores[:, place]) == 0:
            yield place, f"column {column.index} of {column.output} was the same for every drawn image"
    yield from logit_doubts(scores, columns)


def logit_doubts(scores: Floats, columns: Sequence[OutputColumn]) -> Iterator[tuple[int, str]]:
    """Yield the places of logits whose values were all between 0 and 1, as those of a probability are."""
    for place, column in enumerate(columns):
        values = 1 - scores[:, place] if column.inverted else scores[:, place]
        if column.kind == "logit" and values.min() >= _LOGISTIC_OF_0 and values.max() <= _LOGISTIC_OF_1:
            yield place, f"all values of column {column.index} of {column.output} were between 0 and 1: a probability?"
