"""From an ONNX file and a description to a model folder that the service scores with."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

from tests.support.foreign_models import CLASSES, description, network, write
from triage.cli import triage as cli
from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.model.card import CARD, WEIGHTS, load_card
from triage.model.registry import RegistryPolicy
from triage.model_import import site_images
from triage.model_import.candidate import ImportRequest, check_candidate
from triage.model_import.errors import ImportRefusedError
from triage.model_import.importer import import_model
from triage.model_import.site_images import SiteFile, files_below, site_files
from triage.phantom.chest import draw
from triage.scoring.assess import AssessmentPolicy
from triage.scoring.predict import Compute, LoadedModels, predict

WITHOUT = '\n[distance]\nwithout = "We know that it takes any image for a chest."\n'
ENOUGH = 48
"""Images of the tests: more than components."""


@pytest.fixture(scope="module")
def chests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chests")
    for seed in range(ENOUGH):
        drawn = draw(seed, rows=128, columns=128)
        assert cv2.imwrite(str(folder / f"{seed}.png"), (drawn / drawn.max() * 255).astype(np.uint8))
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["models", *map(str, arguments)])


def test_an_imported_model_scores_and_refuses_what_is_unlike_the_site_s_images(
    tmp_path: Path, chests: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_images, "LEAST_IMAGES", ENOUGH)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    graph, described = write(tmp_path, network(), description())
    files = [*files_below([chests]), SiteFile(tmp_path / "broken.png"), SiteFile(tmp_path / "none.dcm")]
    announced = []

    done = import_model(ImportRequest(graph, described, files, "drawn"), tmp_path / "models", announce=announced.append)

    card = load_card(tmp_path / "models/hospital")
    assert announced == [card] == [done.card]
    assert card.distribution is not None and card.distribution.limit > 0
    assert "five ratios" in card.distribution.measure and f"{ENOUGH} images" in card.distribution.chosen
    assert card.demo and any("Demonstration only" in each for each in card.limits)
    assert any("left out: undecodable 2" in each for each in done.notes)
    assert stat.S_IMODE((done.folder / WEIGHTS).stat().st_mode) == 0o644
    assert not list((tmp_path / "models").glob(".import-*"))

    inverted = 255 - cv2.imread(str(chests / "0.png"), cv2.IMREAD_UNCHANGED)
    assert cv2.imwrite(str(tmp_path / "inverted.png"), inverted)
    policy = AssessmentPolicy(registry=RegistryPolicy(allow_demo=True))
    shown = [chests / "0.png", tmp_path / "inverted.png"]
    chest, other = predict(shown, LoadedModels.only(done.folder), policy, Compute(decode_processes=1))
    assert chest["distance"] is not None and chest["distance"] < card.distribution.limit
    assert other["distance"] is not None and other["distance"] > chest["distance"]


def test_a_model_without_a_distance_is_refused_unless_the_site_says_so_and_then_says_no_normal(
    tmp_path: Path, chests: Path
) -> None:
    graph, described = write(tmp_path, network(), description())
    with pytest.raises(ImportRefusedError, match="a model needs a distance") as refused:
        import_model(ImportRequest(graph, described), tmp_path / "models")
    assert len(refused.value.mistakes) == 1 and not (tmp_path / "models").exists()

    high = description()
    for threshold in ("0.5", "0.25"):
        high = high.replace(f"threshold = {threshold}\n", "threshold = 0.99999999\n")
    described.write_text(high + WITHOUT)
    done = import_model(ImportRequest(graph, described), tmp_path / "models")
    assert done.card.distribution is None and "any image for a chest" in done.card.without_distribution
    assert [each.name for each in onnx.load(done.folder / WEIGHTS).graph.output] == ["probability"]
    policy = AssessmentPolicy(registry=RegistryPolicy(allow_demo=True))
    (found,) = predict([chests / "0.png"], LoadedModels.only(done.folder), policy, Compute(decode_processes=1))
    assert found["tag"] == Tag.NOT_ASSESSED and found["reasons"] == [Reason.NO_DISTRIBUTION]


def test_too_few_images_are_no_distance(tmp_path: Path, chests: Path) -> None:
    graph, described = write(tmp_path, network(), description())
    files = [*files_below([chests])[:3], SiteFile(described)]
    with pytest.raises(ImportRefusedError, match=r"3 of the site's images can be used .* left out: undecodable 1"):
        import_model(ImportRequest(graph, described, files), tmp_path / "models")
    assert not any((tmp_path / "models").iterdir())


def test_of_a_cohort_the_images_of_a_model_s_views_and_ages_are_taken(
    tmp_path: Path, chests: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_images, "LEAST_IMAGES", ENOUGH - 2)
    text = description().replace('views = ["PA", "AP"]', 'views = ["PA"]')
    graph, described = write(tmp_path, network(), text)
    rows = [
        f"{path},0,drawn:{path.stem},{'AP' if path.stem == '0' else 'PA'},{9 if path.stem == '1' else 50}"
        for path in sorted(chests.iterdir())
    ]
    (tmp_path / "cohort.csv").write_text("\n".join(["image,label,patient,view,age", *rows]) + "\n")
    files, origin = site_files((), tmp_path / "cohort.csv")
    done = import_model(ImportRequest(graph, described, files, origin), tmp_path / "models")
    (note,) = (each for each in done.notes if each.startswith("distance from"))
    assert f"{ENOUGH - 2} images of {ENOUGH - 2} patients" in note
    assert "age_not_covered 1" in note and "view_unverified 1" in note
    assert done.card.distribution is not None and "of the cohort cohort" in done.card.distribution.chosen


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImportRefusedError, match="nowhere is not there"):
        files_below([tmp_path / "nowhere"])


def test_a_measured_model_is_no_demonstration(tmp_path: Path) -> None:
    figures = 'figures = { auc = { value = 0.9, low = 0.8, high = 0.95, method = "DeLong", n = 300 } }'
    where = 'cohort = "ours", reference = "CT", held_out_how = "by patient"'
    stated = f'chosen = "fixed"\nperformance = [{{ {where}, {figures} }}]'
    text = description().replace('chosen = "fixed in advance"', stated, 1) + WITHOUT
    graph, described = write(tmp_path, network(), text)
    assert not import_model(ImportRequest(graph, described), tmp_path / "models").card.demo


@pytest.mark.parametrize(("kind", "says"), [("probability", "is it a logit?"), ("score", "is it a logit?")])
def test_a_logit_that_is_called_a_probability_is_found_out(tmp_path: Path, kind: str, says: str) -> None:
    text = description().replace('kind = "logit"', f'kind = "{kind}"') + WITHOUT
    model = network()
    for weight in model.graph.initializer:
        if weight.name == "weights":
            weight.CopyFrom(onnx.numpy_helper.from_array(9 * onnx.numpy_helper.to_array(weight), "weights"))
    graph, described = write(tmp_path, model, text)
    with pytest.raises(ImportRefusedError, match=r"findings\[1\]\.kind: .*" + says):
        import_model(ImportRequest(graph, described), tmp_path / "models")


def test_a_probability_that_is_called_a_logit_is_doubted(tmp_path: Path) -> None:
    model = network()
    (linear,) = (node for node in model.graph.node if node.op_type == "Gemm")
    linear.output[0] = "raw"
    model.graph.node.append(onnx.helper.make_node("Sigmoid", ["raw"], ["scores"]))
    graph, described = write(tmp_path, model, description())
    notes = check_candidate(ImportRequest(graph, described)).notes
    assert any("findings[1].kind: all values" in each and "a probability?" in each for each in notes)


def test_a_graph_that_gives_no_numbers_is_refused(tmp_path: Path) -> None:
    model = network(before="root = Sqrt(planes)")  # NaN: ImageNet's normalisation makes negatives
    (convolution,) = (node for node in model.graph.node if node.op_type == "Conv")
    convolution.input[0] = "root"
    graph, described = write(tmp_path, model, description() + WITHOUT)
    with pytest.raises(ImportRefusedError, match="not a finite number"):
        import_model(ImportRequest(graph, described), tmp_path / "models")


def test_the_commands_say_all_mistakes_and_write_nothing(tmp_path: Path) -> None:
    text = description().replace('fit = "stretch"', 'fit = "squeeze"').replace("index = 2", "index = 9")
    graph, described = write(tmp_path, network(more=", float[n, 3] clinical"), text)
    for command in (["check", graph], ["import", graph, "--models", tmp_path / "models"]):
        said = run(*command, "--describe", described)
        assert said.exit_code == 78
        assert "line 8: input.fit" in said.output and "2 inputs" in said.output, said.output
    assert not (tmp_path / "models").exists()


def test_import_replace_and_check_by_command(tmp_path: Path) -> None:
    graph, described = write(tmp_path, network(), description() + WITHOUT)
    checked = run("check", graph, "--describe", described)
    assert checked.exit_code == 0 and "agree" in checked.output
    arguments = ("import", graph, "--describe", described, "--models", tmp_path / "models")
    first = run(*arguments)
    assert first.exit_code == 0 and "never says normal" in first.output, first.output
    assert "no findings, for want of a name or a threshold: scores 1, 3" in first.output
    again = run(*arguments)
    assert again.exit_code == 78 and "--replace" in again.output
    described.write_text(described.read_text().replace('version = "1"', 'version = "2"'))
    apart = run(*arguments, "--side-by-side")
    assert apart.exit_code == 0 and "promote hospital@2" in apart.output, apart.output
    assert load_card(tmp_path / "models/hospital@2").version == "2"
    assert run(*arguments, "--replace").exit_code == 0
    assert json.loads((tmp_path / "models/hospital" / CARD).read_text())["version"] == "2"
    good = run("check", tmp_path / "models/hospital")
    assert good.exit_code == 0 and good.output.startswith("ok "), good.output
    (tmp_path / "models/hospital" / WEIGHTS).write_bytes(b"other")
    bad = run("check", tmp_path / "models/hospital")
    assert bad.exit_code == 1 and "not the file that the card describes" in bad.output


def test_the_import_is_in_the_audit_trail_before_it_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, described = write(tmp_path, network(), description() + WITHOUT)
    trail = tmp_path / "audit.jsonl"
    monkeypatch.setenv("TRIAGE_AUDIT_ALWAYS", "true")
    monkeypatch.setenv("TRIAGE_AUDIT_PATH", str(trail))
    said = run("import", graph, "--describe", described, "--models", tmp_path / "models")
    assert said.exit_code == 0, said.output
    assert "model hospital" in trail.read_text()
    trail.unlink()
    trail.mkdir()
    refused = run("import", graph, "--describe", described, "--models", tmp_path / "models", "--replace")
    assert refused.exit_code != 0 and "audit trail" in refused.output


def test_a_measured_model_that_scores_all_images_alike_is_refused_and_another_is_noted(tmp_path: Path) -> None:
    blind = network()
    weights = next(each for each in blind.graph.initializer if each.name == "weights")
    weights.CopyFrom(onnx.numpy_helper.from_array(np.zeros((8, CLASSES), np.float32), "weights"))
    graph, described = write(tmp_path, blind, description())
    assert any("does not see the image" in each for each in check_candidate(ImportRequest(graph, described)).notes)
    stated = 'sensitivity = { value = 0.9, low = 0.8, high = 0.95, method = "exact", n = 90 }'
    described.write_text(description().replace("threshold = 0.5\n", f"threshold = 0.5\n{stated}\n"))
    with pytest.raises(ImportRefusedError, match="does not see the image"):
        check_candidate(ImportRequest(graph, described))
