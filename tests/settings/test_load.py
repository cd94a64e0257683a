"""Settings: what is accepted, what is refused, and that all of it is documented."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from triage.decision.types import Priority
from triage.settings.load import SettingsError, load, variables
from triage.settings.reference import dump
from triage.settings.schema import Settings

ROOT = Path(__file__).parents[2]


def test_without_anything_the_defaults_hold() -> None:
    assert load(None, {"HOME": "/x", "TRIAGE_DATA": "/y"}) == Settings()


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "triage.toml"
    file.write_text('[listener]\nport = 1\nae_title = "FILE"\n')
    settings = load(file, {"TRIAGE_LISTENER_PORT": "2"})
    assert (settings.listener.port, settings.listener.ae_title) == (2, "FILE")


def test_lists_enums_and_booleans_from_the_environment() -> None:
    settings = load(
        None,
        {
            "TRIAGE_LISTENER_CALLING_AE_TITLES": "PACS A, CR1",
            "TRIAGE_DECISION_BASELINE_PRIORITY": "LOW",
            "TRIAGE_MODELS_ALLOW_DEMO": "true",
        },
    )
    assert settings.listener.calling_ae_titles == ("PACS A", "CR1")
    assert settings.decision.baseline_priority is Priority.LOW
    assert settings.models.allow_demo is True


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[listener]\nprot = 1\n", "listener.prot"),
        ("[lisener]\nport = 1\n", "lisener"),
        ("[listener]\nport = 70000\n", "listener.port"),
        ('[listener]\nae_title = "MUCH TOO LONG A TITLE"\n', "listener.ae_title"),
        ("listener = 1\n", "listener"),
        ("[spool]\nhigh_water = 1.5\n", "spool.high_water"),
        (
            '[eligibility]\nfrontal_descriptions = ["chest (pa"]\n',
            "eligibility.frontal_descriptions.*regular expression",
        ),
        ('[eligibility]\nfrontal_descriptions = [""]\n', "eligibility.frontal_descriptions"),
        ('[eligibility]\nchest_words = ["12-3"]\n', "eligibility.chest_words.*has no letter"),
        ('[eligibility]\nlateral_words = [""]\n', "eligibility.lateral_words"),
        ("[decision]\nlower_normal = true\n", "waiting_cap_s"),
        ("not toml", "triage.toml"),
    ],
)
def test_a_wrong_file_is_refused_and_the_key_named(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "triage.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=named):
        load(file, {})


def test_an_unknown_variable_is_refused_and_named() -> None:
    with pytest.raises(SettingsError, match="TRIAGE_LISTENER_PROT"):
        load(None, {"TRIAGE_LISTENER_PROT": "1"})


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml"):
        load(tmp_path / "absent.toml", {})


def test_secrets_are_masked_and_the_rest_can_be_read_again() -> None:
    settings = load(None, {"TRIAGE_REDIS_URL": "redis://:hunter2@localhost/0"})
    text = dump(settings)
    assert "hunter2" not in text
    values = tomllib.loads(text)
    del values["redis"]["url"]
    assert Settings.model_validate(values).model_dump(exclude={"redis"}) == settings.model_dump(exclude={"redis"})


def test_every_variable_sets_the_setting_it_is_listed_for() -> None:
    defaults = json.loads(Settings().model_dump_json())
    for name, (section, key) in variables().items():
        value = defaults[section][key]
        text = ",".join(value) if isinstance(value, list) else "" if value is None else str(value)
        if key != "lower_normal":
            assert load(None, {name: text}) == Settings(), name


def test_a_prevalence_is_a_share_by_model() -> None:
    models = load(None, {"TRIAGE_MODELS_PREVALENCE": "rsna-adult=0.12,child=0.3"}).models
    assert models.prevalence_by_name == {"rsna-adult": 0.12, "child": 0.3}
    for wrong in ("0.12", "=0.1", "rsna-adult=1", "rsna-adult=nan", "rsna-adult=often"):
        with pytest.raises(SettingsError, match="no NAME=SHARE"):
            load(None, {"TRIAGE_MODELS_PREVALENCE": wrong})


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("redis+sentinel://:hunter2@a:26379,b:26379/mymaster", "redis+sentinel is not understood"),
        ("sentinel://a:26379", "the Sentinels in redis.sentinels"),
        ("redis-cluster://a:1", "redis-cluster is not understood"),
        ("http://a:6379", "http is not understood"),
        ("a:6379", "an address without a kind is not understood"),
        ("redis://:hunter2@a:port/0", "a port that is a number"),
        ("unix://", "unix:// a path"),
    ],
)
def test_an_address_of_redis_that_we_do_not_know_is_refused_in_words(address: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(None, {"TRIAGE_REDIS_URL": address})
    assert said in str(refused.value)
    assert "redis.url" in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("address", ["redis://a", "rediss://user:word@a:6380/2", "unix:///run/redis.sock?db=1", ""])
def test_an_address_of_redis_is_taken(address: str) -> None:
    assert load(None, {"TRIAGE_REDIS_URL": address}).redis.url.get_secret_value() == address
