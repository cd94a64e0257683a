"""The kind of the store, and that no half of the second one passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from triage.service.store import store_address
from triage.settings.load import SettingsError, load_located
from triage.settings.schema import Settings
from triage.settings.sections.postgres import PostgresSettings
from triage.settings.sections.s3 import S3Settings
from triage.spool.cluster.address import ClusterAddress

WHOLE = """
[store]
kind = "postgres+s3"
[postgres]
host = "db.hospital.example"
database = "triage"
user = "triage"
password_file = "{folder}/password"
[s3]
endpoint = "https://s3.hospital.example:9000/"
bucket = "radiographs"
access_key_file = "{folder}/access"
secret_key_file = "{folder}/secret"
"""


def written(folder: Path, text: str) -> Path:
    for name in ("password", "access", "secret"):
        (folder / name).write_text(f"the {name}\n")
    file = folder / "triage.toml"
    file.write_text(text.format(folder=folder))
    return file


def loaded(folder: Path, text: str, **environment: str) -> Settings:
    return load_located(written(folder, text), environment, folder).settings


def test_files_are_the_default(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "")
    assert settings.store.kind == "files"
    assert store_address(settings) == settings.spool.path == tmp_path / "var" / "spool"


def test_a_whole_second_store_is_an_address_with_its_secrets_from_files(tmp_path: Path) -> None:
    address = store_address(loaded(tmp_path, WHOLE))
    assert isinstance(address, ClusterAddress)
    assert (address.database.host, address.database.tls, address.database.password) == (
        "db.hospital.example",
        True,
        "the password",
    )
    bucket = address.bucket
    assert (bucket.endpoint, bucket.bucket) == ("https://s3.hospital.example:9000", "radiographs")
    assert (bucket.access_key, bucket.secret_key) == ("the access", "the secret")
    assert address.scratch == tmp_path / "var" / "scratch"
    assert "the secret" not in repr(address) and "the password" not in repr(address)


def test_secrets_may_be_credentials_of_systemd(tmp_path: Path) -> None:
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "triage.s3.secret_key").write_text("of systemd")
    text = WHOLE.replace('secret_key_file = "{folder}/secret"\n', "")
    address = store_address(loaded(tmp_path, text, CREDENTIALS_DIRECTORY=str(tmp_path / "credentials")))
    assert isinstance(address, ClusterAddress) and address.bucket.secret_key == "of systemd"


@pytest.mark.parametrize("line", ['host = "db', 'database = "', 'user = "', 'endpoint = "', 'bucket = "', "secret_key"])
def test_half_of_it_is_told_by_the_name_of_what_is_missing(tmp_path: Path, line: str) -> None:
    text = "\n".join(each for each in WHOLE.splitlines() if not each.startswith(line))
    with pytest.raises(SettingsError, match=f"needs (postgres|s3).{line.split(' ')[0]}"):
        loaded(tmp_path, text)


def test_a_database_that_is_not_used_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"set store\.kind"):
        loaded(tmp_path, '[postgres]\nhost = "db"\n')


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"endpoint": "http://s3.hospital.example"}, "http is taken on loopback alone"),
        ({"endpoint": "https://key:secret@s3.hospital.example"}, "name or password"),
        ({"endpoint": "https://s3.hospital.example/bucket"}, "without a path"),
        ({"endpoint": "s3.hospital.example"}, "no https address"),
        ({"bucket": "../other"}, "pattern"),
        ({"bucket": "Upper"}, "pattern"),
        ({"region": "eu west"}, "pattern"),
    ],
)
def test_an_odd_bucket_is_refused(values: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        S3Settings(**values)  # type: ignore[arg-type]


def test_results_go_over_no_wire_without_tls() -> None:
    PostgresSettings(host="127.0.0.1", tls=False)
    with pytest.raises(ValueError, match="on loopback alone"):
        PostgresSettings(host="db.hospital.example", tls=False)
