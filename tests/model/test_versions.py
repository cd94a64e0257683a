"""Versions of a model next to each other, whom each serves, and what none serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.support.model_folders import write_model
from triage.cli import triage as program
from triage.model.card import CARD, ModelRefusedError
from triage.model.installed import installed
from triage.model.registry import RegistryPolicy
from triage.model.registry_file import REGISTRY, REGISTRY_PLACE, RegistryFileError, add_to_registry, read_registry
from triage.model.serving_range import ServingRange, holes, narrowed
from triage.model.versions import RegistryAct, RegistryEntry, RegistryHistory
from triage.spool.spool import Spool


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    write_model(folder, "tiny", bias=-9.0)
    second = write_model(tmp_path / "other", "tiny", bias=9.0, version="2")
    assert second.version == "2"
    (tmp_path / "other" / "tiny").rename(folder / "tiny@2")
    return folder


def entry(act: RegistryAct, folder: str, digest: str) -> RegistryEntry:
    return RegistryEntry(act, folder, digest, "me", 1.0, "so")


def digest_of(models: Path, folder: str) -> str:
    return str(json.loads((models / folder / CARD).read_text())["model_sha256"])


def test_two_versions_are_refused_until_one_is_promoted_and_the_other_may_score_in_shadow(models: Path) -> None:
    with pytest.raises(ModelRefusedError, match=r"several versions \(tiny, tiny@2\), and none was promoted"):
        installed(models, (), RegistryPolicy())
    history = RegistryHistory([entry(RegistryAct.PROMOTE, "tiny@2", digest_of(models, "tiny@2"))])
    found = installed(models, (), RegistryPolicy(history=history))
    assert found.folders == {"tiny": models / "tiny@2"}
    assert (found.cards["tiny"].name, found.cards["tiny"].model_id) == ("tiny", "tiny 2")
    shadow = installed(models, (), RegistryPolicy(shadow=frozenset({"tiny@2"})))
    assert {name: path.name for name, path in shadow.folders.items()} == {"tiny": "tiny", "tiny@2": "tiny@2"}
    with pytest.raises(ModelRefusedError, match="rename its folder to tiny@1"):
        installed(models, (), RegistryPolicy(shadow=frozenset({"tiny"})))


def test_what_was_promoted_must_be_there_as_it_was(models: Path) -> None:
    other = RegistryHistory([entry(RegistryAct.PROMOTE, "tiny@2", "0" * 64)])
    with pytest.raises(ModelRefusedError, match="tiny@2 has other weights than when it was promoted"):
        installed(models, (), RegistryPolicy(history=other))
    gone = RegistryHistory([entry(RegistryAct.PROMOTE, "tiny@3", "0" * 64)])
    with pytest.raises(ModelRefusedError, match="tiny@3 was promoted and is not installed"):
        installed(models, (), RegistryPolicy(history=gone))


def test_what_was_retired_is_not_loaded_and_promotion_takes_it_back(models: Path) -> None:
    acts = [entry(RegistryAct.RETIRE, "tiny@2", digest_of(models, "tiny@2"))]
    assert installed(models, (), RegistryPolicy(history=RegistryHistory(acts))).folders["tiny"].name == "tiny"
    with pytest.raises(ModelRefusedError, match="name tiny@2, which was retired"):
        installed(models, ("tiny@2",), RegistryPolicy(history=RegistryHistory(acts)))
    acts.append(entry(RegistryAct.PROMOTE, "tiny@2", digest_of(models, "tiny@2")))
    assert installed(models, (), RegistryPolicy(history=RegistryHistory(acts))).folders["tiny"].name == "tiny@2"


def test_a_folder_of_another_version_than_its_name_says_is_refused(models: Path) -> None:
    (models / "tiny@2").rename(models / "tiny@3")
    with pytest.raises(ModelRefusedError, match="tiny or tiny@2"):
        installed(models, (), RegistryPolicy())


def test_acts_are_kept_in_order_and_a_torn_line_was_none(tmp_path: Path) -> None:
    entries = Spool.open(tmp_path / "spool").entries(REGISTRY_PLACE)
    file = tmp_path / "spool" / REGISTRY_PLACE / REGISTRY
    first, second = entry(RegistryAct.PROMOTE, "a", "0" * 64), entry(RegistryAct.RETIRE, "a", "0" * 64)
    add_to_registry(entries, first)
    with file.open("a") as torn:
        torn.write('{"act": "retire", "fol')
    assert list(read_registry(entries).entries) == [first]
    add_to_registry(entries, second)
    assert list(read_registry(entries).entries) == [first, second]
    file.write_text('{"act": "sell"}\n')
    with pytest.raises(RegistryFileError, match="line 1, is no act"):
        read_registry(entries)


def use(**changes: Any) -> dict[str, Any]:
    whole = {"modalities": ["CR", "DX"], "views": ["PA", "AP"], "age_from": 18.0, "age_below": None}
    return {"intended_use": {**whole, **changes}}


def test_a_site_narrows_what_a_model_is_for_and_does_not_widen_it(tmp_path: Path) -> None:
    card = write_model(tmp_path, "a", **use())
    assert narrowed(card, ServingRange(("PA",), ("ROOM 1",), 20.0, 60.0)).covers == (
        "brightness; ages 20 to below 60; PA; stations ROOM 1"
    )
    for wide in (ServingRange(age_from=17.0), ServingRange(age_from=60.0, age_below=50.0)):
        with pytest.raises(ModelRefusedError, match=r"models\.serve gives a"):
            narrowed(card, wide)
    roomy = write_model(tmp_path, "b", **use(views=["PA"], stations=["ROOM 1"]))
    for wide in (ServingRange(views=("AP",)), ServingRange(stations=("ROOM 2",))):
        with pytest.raises(ModelRefusedError, match="can narrow"):
            narrowed(roomy, wide)


def test_ranges_let_two_models_of_one_finding_serve_and_leave_no_model_unsaid(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_model(tmp_path, name, **use())
    with pytest.raises(ModelRefusedError, match=r"models\.serve"):
        installed(tmp_path, (), RegistryPolicy())
    serve = {"a": ServingRange(stations=("ROOM 1",))}
    with pytest.raises(ModelRefusedError, match="says nothing of b"):
        installed(tmp_path, (), RegistryPolicy(serve=serve))
    found = installed(tmp_path, (), RegistryPolicy(serve={**serve, "b": ServingRange(stations=("ROOM 2",))}))
    assert found.cards.keys() == {"a", "b"}
    with pytest.raises(ModelRefusedError, match=r"models\.serve has c"):
        installed(tmp_path, (), RegistryPolicy(serve={"c": ServingRange()}))


def test_what_no_model_serves_is_listed(tmp_path: Path) -> None:
    adults = write_model(tmp_path, "adults", findings=[{"name": "abnormal"}, {"name": "mass"}], **use())
    children = write_model(
        tmp_path, "children", findings=[{"name": "abnormal"}], **use(age_from=1.0, age_below=6.0, views=["PA"])
    )
    texts = [str(each) for each in holes([adults, children])]
    assert texts == [
        "ages 0 to below 1, PA: no model, NOT_ASSESSED",
        "ages 6 to below 18, PA: no model, NOT_ASSESSED",
        "ages 0 to below 18, AP: no model, NOT_ASSESSED",
        "ages 0 to below 18, PA: mass is not looked for",
    ]


def test_versions_are_changed_by_command_with_a_reason_in_the_audit_trail(models: Path, tmp_path: Path) -> None:
    environment = {
        "TRIAGE_MODELS_PATH": str(models),
        "TRIAGE_SPOOL_PATH": str(tmp_path / "spool"),
        "TRIAGE_AUDIT_PATH": str(tmp_path / "audit" / "audit.xml"),
        "TRIAGE_AUDIT_ALWAYS": "true",
    }

    def triage(*arguments: str) -> Any:
        return CliRunner(env=environment).invoke(program, ["models", *arguments])

    assert "none was promoted" in triage("list").output
    assert triage("promote", "tiny@2", "--reason", "better on our cases").exit_code == 0
    shown = triage("list").output
    assert "not in service" in shown and "not served: ages 0 to below 18" in shown
    assert "better on our cases" in triage("show", "tiny@2").output
    assert triage("promote", "tiny@9", "--reason", "x").exit_code == 1
    refused = triage("retire", "tiny@2", "--reason", "y")
    assert refused.exit_code == 0 and triage("list").output.count("in service") >= 1
    assert "tiny serves in its place from then on" in refused.output
    for words in ("", "  ", "one\ntwo", "x" * 301):
        assert "takes one line" in triage("promote", "tiny@2", "--reason", words).output
    for name in ("tiny@9", "../tiny", ""):
        assert "no model folder" in triage("show", name).output
    assert triage("disable", "tiny").output == "tiny is switched off\n"
    assert triage("enable", "tiny").output == "tiny is switched on\n"
    trail = (tmp_path / "audit" / "audit.xml").read_text()
    for text in ("model:tiny@2", "model:tiny"):
        assert text in trail
