"""Configurations: the named ones, what they extend, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.config import BUILT_IN, Config, load_config
from training.errors import TrainingError
from triage.model.card import Preprocessing


@pytest.mark.parametrize("path", sorted(BUILT_IN.glob("*.toml")), ids=lambda path: path.stem)
def test_every_configuration_that_ships_is_valid(path: Path) -> None:
    config = load_config(path.stem)
    assert config.about
    for changes in config.ablate.values():
        assert config.changed(changes)
    for key, values in config.grid.items():
        assert [config.changed({key: value}) for value in values]


def test_the_papers_recipe_is_as_stated() -> None:
    config = load_config("paper-stated")
    optimizer, schedule = config.optimizer, config.schedule
    assert (optimizer.name, optimizer.momentum, optimizer.weight_decay) == ("sgd", 0.9, 1e-4)
    assert (optimizer.learning_rate, schedule.batch_size, schedule.epochs) == (0.001, 64, 50)
    assert (schedule.shape, schedule.factor, schedule.patience) == ("plateau", 0.1, 5)
    assert (config.loss.kind, config.loss.smoothing, config.data.folds) == ("bce", 0.0, 7)
    assert (config.input.resize, config.input.size, config.input.evaluation) == (256, 224, "centre-crop")
    assert config.grid["optimizer.learning_rate"] == (0.0005, 0.001, 0.05, 0.1)


def test_the_authors_code_differs_where_it_does() -> None:
    stated, code = load_config("paper-stated"), load_config("paper-code")
    assert code.model.architecture == "densenet121"
    assert (code.augmentation.brightness, code.augmentation.contrast) == (0.25, 0.25)
    assert (code.augmentation.rotation, code.augmentation.shift, code.augmentation.scale) == (15.0, 0.1, 0.1)
    assert (code.schedule.choose, code.schedule.stop_after) == ("best", 0)
    assert code.optimizer == stated.optimizer


@pytest.mark.parametrize("pair", [(256, 224), (342, 299), (512, 448), (1024, 896), (48, 32)])
def test_a_centre_crop_is_prepared_at_the_larger_size(pair: tuple[int, int]) -> None:
    resize, size = pair
    config = load_config("paper-stated", [f"input.resize={resize}", f"input.size={size}"])
    assert config.input.spec().size == config.input.cached_spec().size == resize
    assert config.changed({"input.evaluation": "whole"}).input.spec().size == size


def test_what_is_cropped_in_training_is_cropped_in_the_service() -> None:
    config = load_config("modern")
    assert config.input.spec().crop == config.input.cached_spec().crop == "none"
    cropping = config.changed({"input.crop": "border"}).input
    assert cropping.spec().crop == cropping.cached_spec().crop == "border"
    assert Preprocessing(**cropping.spec().to_record()).spec() == cropping.spec()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("schedule.epoch=3", r"schedule\.epoch: Extra inputs"),
        ("input.size=300", "does not fit into 256"),
        ("optimizer.learning_rate=0", "greater than 0"),
        ("loss.kind=focal", r"loss\.kind"),
        ("schedule.epochs", "is not dotted"),
        ("schedule={choose='best',validate_after='end'}", "need validate_after = 'each'"),
    ],
)
def test_what_is_wrong_is_named(change: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        load_config("modern", [change])


def test_a_file_extends_another_and_brings_its_own_targets(tmp_path: Path) -> None:
    base = tmp_path / "base.toml"
    base.write_text('extends = "pretrain"\n[schedule]\nepochs = 2\n')
    (tmp_path / "mine.toml").write_text('extends = "base.toml"\n[targets.pneumonia]\n')
    assert load_config(str(base)).outputs == load_config("pretrain").outputs
    mine = load_config(str(tmp_path / "mine.toml"))
    assert (mine.outputs, mine.schedule.epochs) == (("pneumonia",), 2)
    with pytest.raises(TrainingError, match="no configuration 'nothing'"):
        load_config("nothing")


def test_a_configuration_comes_back_from_its_record() -> None:
    for path in BUILT_IN.glob("*.toml"):
        config = load_config(path.stem)
        assert Config.model_validate(config.model_dump(mode="json")) == config
