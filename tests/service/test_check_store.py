"""`triage check` of a store that hosts share, as far as neither engine is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from triage.runtime.extras import what_to_install
from triage.service.check import store
from triage.service.check.finding import Level
from triage.settings.sections.spool import SpoolSettings
from triage.spool.cluster.address import BucketAddress, ClusterAddress, DatabaseAddress

NOWHERE = ClusterAddress(
    DatabaseAddress("127.0.0.1", "triage", "triage", port=1, tls=False),
    BucketAddress("http://127.0.0.1:1", "radiographs", "a", "b", timeout_s=2.0),
    Path("scratch"),
)


def test_a_bucket_that_does_not_answer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver(address: ClusterAddress) -> None:
        raise ModuleNotFoundError("No module named 'pg8000'", name="pg8000")

    monkeypatch.setattr(store, "store_at", no_driver)
    monkeypatch.chdir(tmp_path)
    found = {each.subject: each for each in store.check_cluster(NOWHERE, SpoolSettings())}
    assert "pip install 'cxr-triage[cluster]'" in found["database"].finding
    assert "no server answers" in found["bucket"].finding
    assert [found[name].level for name in ("database", "bucket", "scratch")] == [Level.FAILED, Level.FAILED, Level.OK]


@pytest.mark.parametrize("package", ["pg8000", "alembic", "sqlalchemy"])
def test_a_missing_package_is_told_by_its_extra(package: str) -> None:
    said = what_to_install(ModuleNotFoundError(name=package), "this command")
    assert said is not None and "cxr-triage[cluster]" in said
