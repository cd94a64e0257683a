"""Models and rules of plug-ins: they may say abnormal, and never normal alone."""

from __future__ import annotations

import json
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.scoring.test_findings import ABNORMAL, result
from tests.support.model_folders import write_model
from tests.support.plugins import importable, install_example
from tests.support.radiographs import a_dataset, as_file
from triage.decision.reasons import Reason
from triage.decision.types import Tag
from triage.errors import StartError
from triage.model.card import CARD, WEIGHTS, ModelCard, ModelRefusedError, load_card
from triage.model.plugin_session import PluginSession, open_plugin_model
from triage.model.run_deadline import NotEndedError, RunLimit
from triage.model.session import ModelScores, ModelSession
from triage.plugins.installed import find_enabled
from triage.plugins.load import LoadedPlugin, load_plugin
from triage.plugins.statement import parse_statement
from triage.scoring.assess import AssessmentPolicy, prepare
from triage.scoring.conclude import combine
from triage.scoring.finding_scores import FindingPolicy
from triage.scoring.inference import BatchInference, FailedImage, ScoredImage
from triage.scoring.plugin_rules import GuardedRule, check_rules

EITHER = {"kind": "plugin", "of": ["mass", "effusion"], "plugin": "CXR-triage_example:either"}
ABSENT = {"negative_means": "absent"}
PARTS = [{"name": "mass", "counts": False}, {"name": "effusion", "counts": False}]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    install_example(tmp_path / "site")
    with importable(tmp_path / "site"):
        yield tmp_path / "site"


def loaded(statement: str) -> LoadedPlugin:
    return load_plugin(find_enabled([parse_statement(statement)])[0])


def with_rule(rule: Callable[..., Any], seconds: float = 5.0) -> AssessmentPolicy:
    plugin = loaded("cxr-triage-example==1.0:either").plugin
    rules = {"cxr-triage-example:either": GuardedRule(LoadedPlugin(plugin, rule), seconds)}
    return AssessmentPolicy(findings=FindingPolicy(rules=rules))


def write_plugin_model(models: Path, name: str, loader: str, *, slope: float = 1.0, **changes: Any) -> ModelCard:
    """A folder whose weights are those of the example's loader."""
    write_model(models, name, findings=[ABNORMAL], **changes)
    folder = models / name
    (folder / WEIGHTS).unlink()
    (folder / "weights.json").write_text(json.dumps({"slope": slope, "intercept": -3.0}))
    record = json.loads((folder / CARD).read_text())
    record["backend"] = {"kind": "plugin", "loader": loader, "weights": "weights.json"}
    record["model_sha256"] = sha256((folder / "weights.json").read_bytes()).hexdigest()
    (folder / CARD).write_text(json.dumps(record))
    return load_card(folder)


@pytest.mark.parametrize(
    ("columns", "tag", "reasons"),
    [
        ((0.1, 0.1), Tag.NOT_ASSESSED, (Reason.PLUGIN_ALONE,)),
        ((0.4, 0.4), Tag.ABNORMAL, ()),
        ((0.1, 0.6), Tag.ABNORMAL, ()),
    ],
)
def test_a_rule_makes_abnormal_and_its_negative_is_no_normal(
    site: Path, tmp_path: Path, columns: tuple[float, ...], tag: Tag, reasons: tuple[Reason, ...]
) -> None:
    card = write_model(tmp_path, "rules", findings=[*PARTS, {"name": "any_of_both", "rule": EITHER, **ABSENT}])
    found = result(card, *columns, policy=with_rule(loaded("cxr-triage-example==1.0:either").target))
    assert (found.tag, found.reasons) == (tag, reasons)
    assert not found.findings[2].negative_means_absent


def test_a_rule_below_another_rule_is_still_a_plug_ins_and_one_that_does_not_count_is_not(
    site: Path, tmp_path: Path
) -> None:
    policy = with_rule(lambda scores: 0.1)
    mild = {"name": "mild", "rule": EITHER, "counts": False}
    over = {"name": "over", "rule": {"kind": "any", "of": ["mild"]}, **ABSENT}
    below = write_model(tmp_path, "below", findings=[*PARTS, mild, over])
    assert result(below, 0.1, 0.1, policy=policy).reasons == (Reason.PLUGIN_ALONE,)
    own = write_model(tmp_path, "own", findings=[*PARTS, mild, {**ABNORMAL, "column": 2}])
    assert result(own, 0.1, 0.1, 0.1, policy=policy).tag is Tag.NORMAL


def late(scores: Any) -> float:
    time.sleep(0.6)
    return 0.1


def ends(scores: Any) -> float:
    raise SystemExit(0)


@pytest.mark.parametrize(
    "rule",
    [
        lambda scores: float("nan"),
        lambda scores: 1.5,
        lambda scores: -0.1,
        lambda scores: "normal",
        lambda scores: None,
        lambda scores: scores["other"],
        lambda scores: scores.update(mass=0.0) or 0.0,
        late,
        ends,
    ],
)
def test_a_rule_that_fails_leaves_the_image_not_assessed(site: Path, tmp_path: Path, rule: Callable[..., Any]) -> None:
    card = write_model(tmp_path, "rules", findings=[*PARTS, {"name": "any_of_both", "rule": EITHER}])
    found = result(card, 0.1, 0.1, policy=with_rule(rule, 0.2))
    assert (found.tag, found.reasons) == (Tag.NOT_ASSESSED, (Reason.WORKER_FAILURE,))
    assert "no number from 0 to 1" in found.detail


def test_a_rule_that_is_not_enabled_is_refused_and_never_leaves_the_worker(site: Path, tmp_path: Path) -> None:
    card = write_model(tmp_path, "rules", findings=[*PARTS, {"name": "any_of_both", "rule": EITHER}])
    with pytest.raises(ModelRefusedError, match="any_of_both is made by the rule CXR-triage_example:either"):
        check_rules([card], {})
    policy = with_rule(loaded("cxr-triage-example==1.0:either").target)
    check_rules([card], policy.findings.rules)
    decoding = pickle.loads(pickle.dumps(policy))  # noqa: S301
    assert np.isnan(decoding.findings.rules["cxr-triage-example:either"]({"mass": 0.1, "effusion": 0.1}))
    assert result(card, 0.1, 0.1).reasons == (Reason.WORKER_FAILURE,)


def test_a_model_of_a_plug_in_scores_and_needs_another_for_normal(site: Path, tmp_path: Path) -> None:
    loader = loaded("cxr-triage-example==1.0:brightness")
    sessions: dict[str, Any] = {}
    for name, slope in (("dark", 1.0), ("bright", 100.0)):
        card = write_plugin_model(tmp_path, name, loader.key, slope=slope)
        sessions[name] = open_plugin_model(tmp_path / name, card, loader, 30.0)
        prepared = prepare(as_file(a_dataset()), {name: card}, AssessmentPolicy())
        (found,) = BatchInference(sessions, AssessmentPolicy()).run([prepared])
        assert isinstance(found, ScoredImage)
        conclusion = found.conclusion
        if name == "bright":
            assert conclusion.tag is Tag.ABNORMAL
        else:
            assert (conclusion.tag, conclusion.reasons) == (Tag.NOT_ASSESSED, (Reason.PLUGIN_ALONE,))
            assert loader.key in conclusion.detail
    own = write_model(tmp_path, "own", bias=-9, findings=[{"name": "mass", **ABSENT}])
    cards = {"dark": sessions["dark"].card, "own": own}
    sessions["own"] = ModelSession(tmp_path / "own", own, threads=1)
    (both,) = BatchInference(sessions, AssessmentPolicy()).run(
        [prepare(as_file(a_dataset()), cards, AssessmentPolicy())]
    )
    assert isinstance(both, ScoredImage) and both.conclusion.tag is Tag.NORMAL


def test_two_plug_ins_do_not_make_a_normal_and_one_finding_not_covered_neither(site: Path, tmp_path: Path) -> None:
    key = "cxr-triage-example:brightness"
    alone = result(write_plugin_model(tmp_path, "one", key), 0.1)
    not_all = result(write_model(tmp_path, "lump", findings=[{"name": "mass"}], negative_is_normal=False), 0.1)
    assert combine([alone, result(write_plugin_model(tmp_path, "two", key), 0.1)]).tag is Tag.NOT_ASSESSED
    assert combine([alone, not_all]).tag is Tag.NOT_ASSESSED
    assert not alone.findings[0].negative_means_absent


class Answers:
    """A model that answers ``scores``, or does what they do."""

    def __init__(self, scores: Callable[[Any], Any]) -> None:
        self.score = scores


def scores(probability: Any, distance: Any = (1.0,)) -> Callable[[Any], Any]:
    return lambda batch: ModelScores(np.asarray(probability, np.float32), np.asarray(distance, np.float32))


def opened(folder: Path, card: ModelCard, model: object, limit: RunLimit | None = None) -> PluginSession:
    """Open a model with a loader that returns ``model``, here and without the trial in a child."""
    loader = loaded("cxr-triage-example==1.0:brightness")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("triage.model.plugin_session.try_to_load", lambda *given, **named: None)
        plugin = LoadedPlugin(loader.plugin, lambda weights, card: model)
        return open_plugin_model(folder / card.name, card, plugin, 30.0, limit)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (object(), "returns object, which has no method score"),
        (Answers(lambda batch: 0.5), "returns float, no ModelScores"),
        (Answers(scores([[0.5], [0.5]], [1.0, 1.0])), r"shape \[2, 1\] for one image"),
        (Answers(scores([0.5])), r"shape \[1\] for one image"),
        (Answers(scores([[0.5]], [[1.0]])), r"distances have the shape \[1, 1\]"),
        (Answers(lambda batch: batch.fill(0)), "read-only"),
    ],
)
def test_a_loader_of_the_wrong_interface_ends_the_start(site: Path, tmp_path: Path, model: object, said: str) -> None:
    card = write_plugin_model(tmp_path, "odd", "cxr-triage-example:brightness")
    with pytest.raises(ModelRefusedError, match=said) as refused:
        opened(tmp_path, card, model)
    assert isinstance(refused.value, StartError)


def test_a_loader_that_is_not_enabled_or_raises_ends_the_start(site: Path, tmp_path: Path) -> None:
    card = write_plugin_model(tmp_path, "odd", "cxr-triage-example:brightness")
    with pytest.raises(ModelRefusedError, match="cxr-triage-example:brightness, which the settings do not enable"):
        open_plugin_model(tmp_path / "odd", card, None, 30.0)
    loader = loaded("cxr-triage-example==1.0:brightness")
    (tmp_path / "odd" / "weights.json").write_text("{}")
    with pytest.raises(ModelRefusedError, match="is not the file that the card describes"):
        load_card(tmp_path / "odd")
    with (
        pytest.raises(ModelRefusedError, match=r"is not loaded by the plug-in .*KeyError"),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("triage.model.plugin_session.try_to_load", lambda *given, **named: None)
        open_plugin_model(tmp_path / "odd", card, loader, 30.0)
    with pytest.raises(ModelRefusedError, match="only ONNX files are loaded here"):
        ModelSession(tmp_path / "odd", card)


@pytest.mark.parametrize("value", [float("nan"), 1.5, -0.5])
def test_a_score_that_is_no_probability_is_not_assessed(site: Path, tmp_path: Path, value: float) -> None:
    found = result(write_plugin_model(tmp_path, "odd", "cxr-triage-example:brightness"), value)
    assert (found.tag, found.reasons) == (Tag.NOT_ASSESSED, (Reason.WORKER_FAILURE,))


def test_a_run_that_would_end_the_process_fails_alone(site: Path, tmp_path: Path) -> None:
    card = write_plugin_model(tmp_path, "ends", "cxr-triage-example:brightness")
    session = opened(tmp_path, card, Answers(scores([[0.1]])))
    session._model = Answers(ends)
    prepared = prepare(as_file(a_dataset()), {"ends": card}, AssessmentPolicy())
    (failed,) = BatchInference({"ends": session}, AssessmentPolicy()).run([prepared])
    assert isinstance(failed, FailedImage) and "calls for the end of the process" in str(failed.error)


def test_a_run_that_does_not_end_fails_and_takes_no_other_model_along(site: Path, tmp_path: Path) -> None:
    go_on, ended = threading.Event(), threading.Event()
    asked: list[int] = []

    def score(batch: Any) -> ModelScores:
        asked.append(1)
        if len(asked) > 1:
            go_on.wait(60)
        return ModelScores(np.full((1, 1), 0.1, np.float32), np.ones(1, np.float32))

    card = write_plugin_model(tmp_path, "slow", "cxr-triage-example:brightness")
    session = opened(tmp_path, card, Answers(score), RunLimit(0.3, ended.set))
    prepared = prepare(as_file(a_dataset()), {"slow": card}, AssessmentPolicy())
    (failed,) = BatchInference({"slow": session}, AssessmentPolicy()).run([prepared])
    assert isinstance(failed, FailedImage) and failed.is_final and "did not end within 0.3 s" in str(failed.error)
    with pytest.raises(NotEndedError, match="still has not ended"):
        session.score(np.zeros((1, 1, 64, 64), np.float32))
    assert ended.wait(10)  # the worker would end here
    go_on.set()
