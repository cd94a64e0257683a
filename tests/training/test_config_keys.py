"""Former keys of a configuration: read under their new names, wherever they stand, and said to be old."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.config import BUILT_IN, Config, load_config
from training.config_keys import RENAMED
from training.errors import TrainingError
from training.studies.plan import load_plan

FORMER, PRESENT = next(iter(RENAMED.items()))
KEY = FORMER.split(".")[1]
OLD = pytest.warns(FutureWarning, match=f"{FORMER} is called {PRESENT} now; the old name goes with 0.3.0")


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """A configuration with the former key."""
    path = tmp_path / "former.toml"
    path.write_text(f'extends = "{BUILT_IN / "modern.toml"}"\n[data]\n{KEY} = ["text"]\n')
    return path


def test_a_file_with_the_former_key_is_read(former: Path) -> None:
    with OLD:
        assert load_config(str(former)).data.never_held_out == ("text",)


def test_a_change_by_the_former_key_goes_before_the_file(former: Path) -> None:
    with OLD:
        config = load_config(str(former), [f'{FORMER}=["children"]'])
    assert config.data.never_held_out == ("children",)
    with OLD:
        assert config.changed({FORMER: ["expert"]}).data.never_held_out == ("expert",)


def test_both_names_at_once_are_refused(former: Path) -> None:
    former.write_text(former.read_text() + 'never_held_out = ["other"]\n')
    with pytest.raises(TrainingError, match=f"both are given: remove {FORMER}"):
        load_config(str(former))


def test_a_plan_with_the_former_key_is_read(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(f"""
[cohorts.one]
prepare = ["folder"]
source = "one"
[runs.base]
config = "modern"
cohorts = ["one"]
set = {{ "{FORMER}" = ["text"] }}
[runs.other]
extends = "base"
set = {{ "{PRESENT}" = ["children"] }}
[[steps]]
runs = ["base", "other"]
""")
    with OLD:
        plan = load_plan(str(path))
    assert plan.resolved("base").set == {PRESENT: ["text"]}
    assert plan.resolved("other").set == {PRESENT: ["children"]}


def test_a_record_with_the_former_key_is_the_same_configuration() -> None:
    config = load_config("modern", [f'{PRESENT}=["text"]'])
    record = config.model_dump(mode="json")
    record["data"][KEY] = record["data"].pop("never_held_out")
    assert Config.model_validate(record) == config
