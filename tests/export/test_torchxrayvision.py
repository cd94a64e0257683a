"""Models of torchxrayvision's, from checkpoint files in its format, against its own package."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
import torch
from click.testing import CliRunner

import training.networks.torchvision_ops  # noqa: F401  # torchxrayvision imports torchvision
from export.cli import main
from export.torchxrayvision import command
from export.torchxrayvision.checkpoint import read_tensors
from export.torchxrayvision.draft import draft
from export.torchxrayvision.published import TABLE, published
from training.errors import TrainingError
from triage.model.card import load_card
from triage.model.session import ModelSession
from triage.model_import import importer, trial_session
from triage.model_import.candidate import ImportRequest
from triage.model_import.description_file import read_description
from triage.model_import.graph import open_graph
from triage.model_import.graph_form import FormReader
from triage.model_import.importer import import_model
from triage.phantom.chest import draw
from triage.radiograph.preprocess import preprocess

NAME = "densenet121-res224-nih"
WITHOUT = "The tests know that it takes any image for a chest."


@pytest.fixture(scope="module")
def theirs() -> Iterator[ModuleType]:
    with warnings.catch_warnings():  # it switches warnings off for the whole process
        yield pytest.importorskip("torchxrayvision")


@pytest.fixture(scope="module")
def network(theirs: ModuleType) -> torch.nn.Module:
    """Their DenseNet121 with random weights whose statistics are those of an image: outputs differ from each other."""
    torch.manual_seed(5)
    network = theirs.models.DenseNet()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    image = torch.from_numpy(their_input(theirs, draw(1, rows=600, columns=500)))[None]
    with torch.no_grad():
        network.train()(torch.cat([image, image.flip(3)]))
        network.classifier.weight *= 30
    return network.eval()


@pytest.fixture(scope="module")
def checkpoint(network: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "whole.pt"
    torch.save(network, path)
    return path


@pytest.fixture(scope="module")
def graph(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The graph of the checkpoint, which costs seconds."""
    return command.write_draft(NAME, checkpoint, tmp_path_factory.mktemp("drafted"), normed=False)[0]


@pytest.fixture(autouse=True)
def no_trial_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large network costs seconds in each child, and tests/model_import has the trial loads."""
    monkeypatch.setattr(trial_session, "try_to_load", lambda *arguments: None)
    monkeypatch.setattr(importer, "check_loads", lambda *arguments: None)


def their_input(theirs: ModuleType, pixels: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """(1, 224, 224) as their own functions make it, with the resize engine cv2."""
    image = theirs.utils.normalize(pixels, 65535)[None]
    cropped = theirs.datasets.XRayCenterCrop()(image)
    return np.asarray(theirs.datasets.XRayResizer(224, engine="cv2")(cropped), dtype=np.float32)


def whole_scale(seed: int, rows: int, columns: int) -> npt.NDArray[np.uint16]:
    drawn = draw(seed, rows=rows, columns=columns).astype(np.float64)
    return np.rint(drawn / drawn.max() * 65535).astype(np.uint16)


@pytest.mark.parametrize("normed", [False, True], ids=["before op_norm", "after op_norm"])
def test_scores_are_those_of_their_own_forward_pass(
    tmp_path: Path, theirs: ModuleType, network: torch.nn.Module, graph: Path, normed: bool
) -> None:
    known = published(NAME)
    card = load_card(imported(tmp_path, graph, draft(NAME, known, normed=normed)))
    labelled = [place for place, each in enumerate(known.outputs) if each.is_finding]
    assert len(card.findings) == len(labelled) == 14  # 18 outputs; 4 of NIH's have neither a name nor a threshold
    assert [each.column for each in card.findings] == list(range(14))

    session = ModelSession(tmp_path / "models" / card.name, card)
    thresholds = torch.tensor([each.threshold for each in known.outputs])
    for seed, rows, columns in ((3, 900, 700), (4, 500, 640), (5, 224, 224)):
        pixels = whole_scale(seed, rows, columns)
        grey, valid = (pixels / np.float32(65535)).astype(np.float32), np.ones(pixels.shape, dtype=bool)
        found = session.score(preprocess(grey, valid, card.preprocessing.spec())[None]).probability
        with torch.no_grad():
            expected = torch.sigmoid(network(torch.from_numpy(their_input(theirs, pixels))[None]))
            if normed:
                expected = theirs.models.op_norm(expected, thresholds)
        assert np.ptp(found) > 0.1
        assert np.abs(found[0] - expected[0, labelled].numpy()).max() < 1e-5

    stated = {known.outputs[place].threshold for place in labelled}
    assert {each.threshold for each in card.findings} == ({0.5} if normed else stated)
    assert all(("no probability" in each.calibration) == normed for each in card.findings)
    assert not card.abnormal.negative_is_normal and card.demo


def imported(folder: Path, graph: Path, text: str) -> Path:
    described = folder / "edited.toml"
    described.write_text(f'{text}\n[distance]\nwithout = "{WITHOUT}"\n')
    return import_model(ImportRequest(graph, described), folder / "models").folder


def test_the_features_for_a_distance_are_what_their_classifier_reads(tmp_path: Path, graph: Path) -> None:
    described = tmp_path / "drafted.toml"
    described.write_text(draft(NAME, published(NAME), normed=False))
    form = FormReader(read_description(described), open_graph(graph)).form()
    assert form is not None and form.wrapping.features is not None and form.wrapping.features.rank == 2
    assert open_graph(graph).tensors[form.wrapping.features.name].shape == ("n", 1024)


def test_the_command_makes_graph_and_description_and_imports_them(
    tmp_path: Path, graph: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "write_graph", lambda network, thresholds, size, path: shutil.copyfile(graph, path))
    edited = tmp_path / "edited.toml"
    edited.write_text(f'{draft(NAME, published(NAME), normed=False)}\n[distance]\nwithout = "{WITHOUT}"\n')
    arguments = ["torchxrayvision", NAME, "--weights", checkpoint, "--draft", tmp_path / "d"]
    made = CliRunner().invoke(main, [*map(str, arguments), "-o", str(tmp_path / "models")])
    assert made.exit_code == 1 and "a model needs a distance" in made.output  # what torchxrayvision cannot state
    made = CliRunner().invoke(main, [*map(str, arguments), "-o", str(tmp_path / "models"), "--describe", str(edited)])
    assert made.exit_code == 0 and "Atelectasis" in made.output, made.output
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == [f"{NAME}.onnx", f"{NAME}.toml"]


def test_a_file_of_their_first_releases_is_read_too(tmp_path: Path, network: torch.nn.Module, checkpoint: Path) -> None:
    """Until PyTorch 1.6 a checkpoint was a stream of pickles and no zip archive."""
    old = tmp_path / "old.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(network, old, _use_new_zipfile_serialization=False)
    new = read_tensors(checkpoint)
    assert len(new) > 600 and read_tensors(old).keys() == new.keys()
    assert all(torch.equal(tensor, new[name]) for name, tensor in read_tensors(old).items())


class Harmful:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_code_in_a_checkpoint_is_named_and_not_run(tmp_path: Path, zipped: bool) -> None:
    path, mark = tmp_path / "harmful.pt", tmp_path / "ran"
    torch.save({"weights": Harmful(mark)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(TrainingError, match=r"it names posix\.system"):
        read_tensors(path)
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"weights", b"PK\x03\x04" + b"\0" * 100])
def test_bytes_that_are_no_checkpoint_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "none.pt"
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"none\.pt"):
        read_tensors(path)


def test_other_weights_and_unknown_names_are_refused(tmp_path: Path, checkpoint: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "resnet.pt")
    for name, file, says in (
        ("resnet50-res512-all", checkpoint, "other weights than resnet50-res512-all"),
        (NAME, tmp_path / "resnet.pt", "other weights than"),
        (
            "densenet121-res224-moon",
            checkpoint,
            "publishes no weights densenet121-res224-moon: densenet121-res224-all,",
        ),
    ):
        said = CliRunner().invoke(main, ["torchxrayvision", name, "--weights", str(file), "-o", str(tmp_path / "m")])
        assert said.exit_code == 1 and says in said.output, said.output
    assert not (tmp_path / "m").exists()


def test_the_table_is_that_of_their_package(theirs: ModuleType) -> None:
    import tomllib

    for name in tomllib.loads(TABLE.read_text()):
        own, ours = theirs.models.model_urls[name], published(name)
        assert [each.label for each in ours.outputs] == own["labels"]
        assert np.array_equal([each.threshold for each in ours.outputs], own["op_threshs"], equal_nan=True)
        assert own["weights_url"].endswith("/" + ours.file) and own["input_resolution"] == ours.size
