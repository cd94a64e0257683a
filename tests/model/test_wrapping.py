"""The graph around bare networks computes what numpy does, and networks that it would falsify are refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import numpy_helper, parser

from triage.model import wrapping
from triage.model.distribution import Subspace, distances, fit
from triage.model.onnx_runtime import onnxruntime
from triage.model.wrapping import Curve, NetworkError, Wrapping, wrap
from triage.radiograph.preprocess import PreprocessSpec

Floats = npt.NDArray[np.float32]

SIZE, CELL = 40, 8
BARE = """
<ir_version: 8, opset_import: ["" : 18]>
bare (float[n, 1, {size}, {size}] image) => (float[n] logit, float[n, h, w] cam)
<int64[2] places = {{1, 2}}, int64[1] plane = {{1}}>
{{
    weighed = Mul(image, weights)
    cells = AveragePool <kernel_shape = [8, 8], strides = [8, 8]> (weighed)
    cam = Squeeze(cells, plane)
    mean = ReduceMean <keepdims = 0> (cam, places)
    logit = Add(mean, bias)
}}
"""


class Bare:
    """A network that weighs the pixels, no two alike, and what it computes, in numpy."""

    def __init__(self, seed: int, size: int = SIZE) -> None:
        rng = np.random.default_rng(seed)
        self.weights = rng.normal(0, 4, (1, 1, size, size)).astype(np.float32)
        self.bias = np.float32(rng.normal())
        self.size = size

    def model(self, text: str = BARE) -> onnx.ModelProto:
        made = parser.parse_model(text.format(size=self.size))
        made.graph.initializer.append(numpy_helper.from_array(self.weights, "weights"))
        made.graph.initializer.append(numpy_helper.from_array(self.bias, "bias"))
        return made

    def cam(self, images: Floats) -> Floats:
        cells = self.size // CELL
        weighed = (images * self.weights)[:, 0].reshape(len(images), cells, CELL, cells, CELL)
        return np.asarray(weighed.mean((2, 4)), dtype=np.float32)

    def logit(self, images: Floats) -> Floats:
        return np.asarray(self.cam(images).mean((1, 2)) + self.bias, dtype=np.float32)


def chests(count: int, size: int = SIZE) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (count, size, size), dtype=np.uint8)


def as_input(images: npt.NDArray[np.uint8], spec: PreprocessSpec) -> Floats:
    return np.asarray((images[:, None] / 255 - spec.mean) / spec.deviation, dtype=np.float32)


def subspace(size: int = SIZE) -> Subspace:
    return fit(chests(64, size))


def around(*, size: int = SIZE, seen: int = SIZE, flips: bool = False, curves: tuple[Curve, ...] = ()) -> Wrapping:
    return Wrapping(PreprocessSpec(size=size, mean=0.4, deviation=0.2), seen, flips, subspace(size), curves)


def run(model: onnx.ModelProto, images: Floats) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": images}), strict=True))


def mean(computed: Sequence[Floats]) -> Floats:
    return np.asarray(np.mean(np.stack(computed), axis=0), dtype=np.float32)


@pytest.mark.parametrize("flips", [False, True], ids=["as it is", "mirrored too"])
@pytest.mark.parametrize("count", [1, 3])
def test_logits_and_maps_are_the_mean_over_networks_and_mirror_images(count: int, flips: bool) -> None:
    networks = [Bare(seed) for seed in range(count)]
    settings = around(flips=flips)
    images = as_input(chests(5), settings.spec)
    mirrored = images[..., ::-1]

    found = run(wrap([network.model() for network in networks], settings), images)

    logits = [network.logit(images) for network in networks]
    maps = [network.cam(images) for network in networks]
    if flips:
        logits += [network.logit(mirrored) for network in networks]
        maps += [network.cam(mirrored)[..., ::-1] for network in networks]
    assert np.allclose(found["logit"], mean(logits), rtol=1e-5, atol=1e-6)
    assert np.allclose(found["cam"], mean(maps), rtol=1e-5, atol=1e-5)
    assert np.allclose(found["probability"], 1 / (1 + np.exp(-mean(logits))), atol=1e-6)


@pytest.mark.parametrize("flips", [False, True], ids=["as it is", "mirrored too"])
@pytest.mark.parametrize("size", [SIZE + 8, SIZE + 13], ids=["even border", "odd border"])
def test_networks_see_the_middle_and_the_distance_is_of_the_whole_image(size: int, flips: bool) -> None:
    network, settings = Bare(1), around(size=size, flips=flips)
    images = as_input(chests(4, size), settings.spec)
    start = (size - SIZE) // 2
    middle = images[..., start : start + SIZE, start : start + SIZE]

    found = run(wrap([network.model()], settings), images)

    logits = [network.logit(middle), network.logit(middle[..., ::-1])] if flips else [network.logit(middle)]
    assert np.allclose(found["logit"], mean(logits), rtol=1e-5, atol=1e-6)
    assert np.allclose(found["distance"], distances(settings.subspace, chests(4, size)), rtol=1e-5)
    assert "cam" not in found  # it would be a map of the middle, and is drawn over the whole image


def test_distances_are_those_of_the_distribution_for_chests_and_for_what_is_none() -> None:
    settings = around()
    ramp = np.linspace(0, 255, SIZE * SIZE).reshape(1, SIZE, SIZE).astype(np.uint8)
    blank = np.full((1, SIZE, SIZE), 128, dtype=np.uint8)
    images = np.concatenate([chests(6), 255 - chests(2), ramp, blank])

    found = run(wrap([Bare(0).model()], settings), as_input(images, settings.spec))["distance"]

    expected = distances(settings.subspace, images)
    assert np.allclose(found, expected, rtol=1e-4)
    assert expected[-1] > 100 * expected[0]  # the contrast term: a blank has hardly any, and no logarithm fails on it


def test_calibration_stands_beside_the_plain_probability() -> None:
    network, settings = Bare(2), around(curves=(Curve(1.7, -0.4),))
    images = as_input(chests(3), settings.spec)

    found = run(wrap([network.model()], settings), images)

    logits = network.logit(images)
    assert np.allclose(found["probability"], 1 / (1 + np.exp(-logits)), atol=1e-6)
    assert np.allclose(found["calibrated_probability"], 1 / (1 + np.exp(-(1.7 * logits - 0.4))), atol=1e-6)


def test_outputs_have_their_order_and_any_number_of_images_goes_through() -> None:
    settings = around(flips=True, curves=(Curve(1.0, 0.0),))
    model = wrap([Bare(0).model(), Bare(1).model()], settings)
    order = ["logit", "probability", "distance", "cam", "calibrated_probability"]
    assert [output.name for output in model.graph.output] == order
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 18)]
    images = as_input(chests(7), settings.spec)
    together = run(model, images)
    alone = [run(model, images[place : place + 1]) for place in range(7)]
    for name in order:
        assert len(together[name]) == 7
        assert np.allclose(together[name], np.concatenate([each[name] for each in alone]), rtol=1e-5, atol=1e-6)


def test_one_network_without_a_map_leaves_none() -> None:
    bare = Bare(1).model()
    del bare.graph.output[1]
    found = run(wrap([Bare(0).model(), bare], around()), as_input(chests(2), around().spec))
    assert list(found) == ["logit", "probability", "distance"]


def test_each_node_has_a_name_of_its_own_by_which_variants_leave_it_out() -> None:
    model = wrap([Bare(0).model(), Bare(1).model()], around(flips=True))
    names = [node.name for node in model.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)


def test_the_networks_that_were_given_stay_as_they_are() -> None:
    given = Bare(0).model()
    before = given.SerializeToString()
    wrap([given, given], around(flips=True))
    assert given.SerializeToString() == before


def test_what_a_network_knows_of_its_own_batch_does_not_hold_in_the_wrapped_graph() -> None:
    """Its n is twice ours with mirror images, and ONNX Runtime would plan memory and complain by it."""
    given = onnx.shape_inference.infer_shapes(Bare(0).model())
    assert any(info.type.tensor_type.shape.dim[0].dim_param == "n" for info in given.graph.value_info)
    assert not wrap([given], around(flips=True)).graph.value_info


def changed(*changes: tuple[str, str]) -> onnx.ModelProto:
    text = BARE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return Bare(0).model(text)


def with_function() -> onnx.ModelProto:
    model = Bare(0).model()
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    opset = [onnx.helper.make_opsetid("", 18)]
    model.functions.append(onnx.helper.make_function("own", "Positive", ["x"], ["y"], [node], opset))
    return model


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: changed(('"" : 18', '"" : 17')), "network 0 is of opset 17, not 18"),
        (with_function, "functions of its own"),
        (lambda: changed(("[n, 1, {size}, {size}] image", "[1, 1, {size}, {size}] image")), "for any n"),
        (lambda: changed(("[n, 1, {size}, {size}] image", "[n, 1, 32, 32] image")), "(n, 1, 40, 40)"),
        (lambda: changed(("[n, 1, {size}, {size}] image", "[n, 3, {size}, {size}] image")), "(n, 1, 40, 40)"),
        (lambda: changed(("float[n, 1, {size}, {size}] image", "double[n, 1, {size}, {size}] image")), "float32"),
        (lambda: changed(("{size}] image", "{size}] image, float[1] more")), "one input"),
        (lambda: changed(("float[n] logit", "float[n] score"), ("logit =", "score =")), "not score, cam"),
        (lambda: changed(("[n] logit", "[n, 1, 1] logit"), ("<keepdims = 0> ", "")), "cannot be wrapped"),
        (
            lambda: changed(("[n, h, w] cam", "[n, 1, h, w] cam"), ("Squeeze(cells, plane)", "Identity(cells)")),
            "cannot",
        ),
    ],
    ids=["opset", "functions", "batch", "size", "colour", "type", "inputs", "outputs", "shape of logit", "of the map"],
)
def test_a_network_of_another_form_is_refused_with_what_is_wrong(
    make: Callable[[], onnx.ModelProto], says: str
) -> None:
    with pytest.raises(NetworkError) as refused:
        wrap([make()], around())
    assert says in str(refused.value)


def test_weights_that_do_not_fit_into_one_file_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = [Bare(seed).model() for seed in range(3)]
    monkeypatch.setattr(wrapping, "LARGEST", 2 * sum(weight.ByteSize() for weight in networks[0].graph.initializer))
    wrap(networks[:2], around())
    with pytest.raises(NetworkError, match="ship fewer"):
        wrap(networks, around())


def test_networks_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(NetworkError, match="no network"):
        wrap([], around())
    pair = [Bare(0).model(), Bare(1).model()]
    for version, network in enumerate(pair, start=1):
        network.opset_import.append(onnx.helper.make_opsetid("example", version))
    with pytest.raises(NetworkError, match="different versions"):
        wrap(pair, around())
    assert len(wrap(pair[:1], around()).opset_import) == 2


def test_a_network_cannot_see_more_than_there_is() -> None:
    with pytest.raises(ValueError, match="41 pixels of 40"):
        around(seen=41)


def test_weights_that_an_old_file_lists_among_its_inputs_are_no_inputs() -> None:
    given = Bare(0).model()
    given.ir_version = 3
    for weight in given.graph.initializer:
        given.graph.input.append(onnx.helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
    images = as_input(chests(2), around().spec)
    model = wrap([given, Bare(1).model()], around())
    assert [each.name for each in model.graph.input] == ["image"]
    assert np.allclose(
        run(model, images)["logit"], run(wrap([Bare(0).model(), Bare(1).model()], around()), images)["logit"]
    )
