"""The graph around a foreign network computes what numpy does of the network's own outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto

from tests.support.foreign_models import SIZE, network
from triage.model.feature_distribution import (
    FeaturesError,
    FittedDistance,
    SiteImages,
    distances,
    fit,
    out_of_fold,
)
from triage.model.onnx_runtime import onnxruntime
from triage.model.wrapping_foreign import (
    FeatureTensor,
    ForeignWrapping,
    NetworkInput,
    OutputColumn,
    with_features,
    wrap_foreign,
)
from triage.radiograph.preprocess import PreprocessSpec

Floats = npt.NDArray[np.float32]

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SPEC = PreprocessSpec(size=SIZE, levels="full", mean=0.0, deviation=1.0)
COLUMNS = (OutputColumn("scores", 2, "logit"), OutputColumn("scores", 0, "softmax", inverted=True))


def wrapping(**changes: Any) -> ForeignWrapping:
    form = NetworkInput("NHWC", 3, TensorProto.FLOAT, MEAN, DEVIATION)
    return ForeignWrapping(**{"spec": SPEC, "input": form, "columns": COLUMNS, **changes})


def run(model: onnx.ModelProto, inputs: dict[str, Any]) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def levels(count: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (count, SIZE, SIZE), dtype=np.uint8)


def inputs(images: npt.NDArray[np.uint8]) -> Floats:
    return np.asarray(images[:, None] / np.float32(255), dtype=np.float32)


def given_scores(model: onnx.ModelProto, images: Floats) -> npt.NDArray[np.float64]:
    """The network's own outputs for red, green and blue as torchvision normalises them, channels last."""
    mean, deviation = (np.array(each, dtype=np.float32) for each in (MEAN, DEVIATION))
    coloured = (images.transpose(0, 2, 3, 1) - mean) / deviation
    return np.asarray(run(model, {"picture": coloured})["scores"], dtype=np.float64)


def site(count: int = 120) -> SiteImages:
    found = run(
        with_features(network(), wrapping(features=FeatureTensor("features", 2))), {"image": inputs(levels(count))}
    )
    patients = [f"patient {number // 2}" for number in range(count)]
    return SiteImages(levels(count), found["features"].astype(np.float64), patients)


def test_scores_are_those_of_the_network_by_the_kind_of_each_output() -> None:
    images = inputs(levels(5))
    own = given_scores(network(), images)
    found = run(wrap_foreign(network(), wrapping(), None), {"image": images})
    raised = np.exp(own)
    expected = np.stack([1 / (1 + np.exp(-own[:, 2])), 1 - raised[:, 0] / raised.sum(1)], axis=1)
    assert list(found) == ["probability"]  # and no distance: nothing was fitted
    assert found["probability"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("features", [None, FeatureTensor("features", 2), FeatureTensor("active", 4)])
def test_the_distance_is_the_largest_ratio_of_thumbnail_and_features(features: FeatureTensor | None) -> None:
    images = levels(120)
    whole = wrapping(features=features or FeatureTensor("features", 2))
    vectors = run(with_features(network(), whole), {"image": inputs(images)})["features"].astype(np.float64)
    made = SiteImages(images, vectors if features else None, [str(number) for number in range(len(images))])
    fitted = fit(made)
    found = run(wrap_foreign(network(), wrapping(features=features), fitted), {"image": inputs(images)})
    assert (fitted.features is None) == (features is None)
    assert found["distance"] == pytest.approx(distances(fitted, made), rel=1e-4)
    if features is None:
        assert len(fitted.thumbnails.components)


def test_features_that_no_image_of_the_site_has_are_far_although_the_thumbnail_is_near() -> None:
    images = site()
    fitted = fit(images)
    assert images.features is not None
    strange = SiteImages(images.levels, images.features + 10 * images.features.std(), images.patients)
    limit = np.percentile(out_of_fold(images), 99)
    assert (distances(fitted, images) < limit).mean() > 0.95
    assert (distances(fitted, strange) > limit).all()


def test_a_patient_is_in_one_fold() -> None:
    """Two copies of each image under one patient are as far as each alone: neither is in the other's subspace."""
    once = site(60)
    pair = np.repeat(np.arange(60), 2)
    assert once.features is not None
    twice = SiteImages(once.levels[pair], once.features[pair], [f"patient {number // 2}" for number in pair])
    apart = SiteImages(twice.levels, twice.features, [str(number) for number in range(120)])
    assert np.median(out_of_fold(twice)) > 1.2 * np.median(out_of_fold(apart))


@pytest.mark.parametrize(
    ("features", "says"),
    [
        (np.ones((120, 8)), "hardly vary"),
        (np.full((120, 8), np.nan), "finite"),
        (np.random.default_rng(0).random((120, 1)), "hardly vary"),
    ],
    ids=["dead", "no numbers", "one"],
)
def test_features_that_say_nothing_are_refused(features: npt.NDArray[np.float64], says: str) -> None:
    with pytest.raises(FeaturesError, match=says):
        fit(SiteImages(levels(120), features, [str(number) for number in range(120)]))


def test_names_of_tensors_do_not_collide_with_ours() -> None:
    model = network()
    for node in model.graph.node:
        for tensors in (node.input, node.output):
            for place, name in enumerate(tensors):
                if name in ("edges", "active", "pooled"):
                    tensors[place] = {"edges": "image", "active": "distance/0", "pooled": "probability"}[name]
    images = inputs(levels(3))
    fitted = fit(site())
    tensor = FeatureTensor("features", 2)
    renamed = run(wrap_foreign(model, wrapping(features=tensor), fitted), {"image": images})
    plain = run(wrap_foreign(network(), wrapping(features=tensor), fitted), {"image": images})
    assert all(np.array_equal(renamed[name], plain[name]) for name in plain)


def test_a_network_of_bytes_gets_rounded_ones() -> None:
    model = network(kind="uint8")
    spec = PreprocessSpec(size=SIZE, levels="full", mean=0.0, deviation=1 / 255)
    form = NetworkInput("NHWC", 3, TensorProto.UINT8)
    images = levels(4)
    found = run(
        wrap_foreign(model, wrapping(spec=spec, input=form), None),
        {"image": (images[:, None] + np.float32(0.4)).astype(np.float32)},
    )
    own = run(model, {"picture": np.repeat(images[..., None], 3, axis=3)})["scores"]
    assert found["probability"][:, 0] == pytest.approx(1 / (1 + np.exp(-own[:, 2].astype(np.float64))), abs=1e-6)


def test_maps_are_passed_on_as_they_are() -> None:
    model = network()
    model.graph.output.append(onnx.helper.make_tensor_value_info("active", TensorProto.FLOAT, ["n", 8, "h", "w"]))
    images = inputs(levels(2))
    found = run(wrap_foreign(model, wrapping(map_output="active"), None), {"image": images})
    assert found["cam"].shape == (2, 8, 12, 12)


def test_fitted_subspaces_are_of_the_same_images() -> None:
    fitted = fit(site())
    assert isinstance(fitted, FittedDistance) and fitted.features is not None
    assert fitted.features.components.shape == (4, 8)
