"""Fixtures that many tests share."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest
from playwright.sync_api import Browser

from tests.support.browser import chromium
from tests.support.redis_server import RedisServer
from tests.support.seaweed import SeaweedServer
from triage.runtime.child_pool import DecodePool
from triage.spool.spool import Spool

# No example is too slow: the machine may be busy with something else.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool.open(tmp_path / "spool")


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    """One process that decodes."""
    pool = DecodePool(1, 60.0)
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="session")
def triage_data() -> Path:
    """The folder of real radiographs; tests that need it are skipped where it is not."""
    folder = os.environ.get("TRIAGE_DATA")
    if not folder:
        pytest.skip("real radiographs: set TRIAGE_DATA to a folder that holds them")
    return Path(folder)


@pytest.fixture(scope="session")
def seaweed(pytestconfig: pytest.Config) -> Iterator[SeaweedServer]:
    """A real S3 store; asked for where ``--weed`` names its program."""
    with SeaweedServer(pytestconfig.getoption("--weed")) as server:
        yield server


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--provider", help="the identity provider's script, for tests/acceptance/oidc.sh")
    parser.addoption("--mlserver", help="the program mlserver, for tests/acceptance/protocol.sh")
    parser.addoption("--tools", help="the folder of helm and kubernetes-validate, for tests/acceptance/chart.sh")
    parser.addoption(
        "--cluster", action="store_true", help="also test the store in PostgreSQL (make acceptance-cluster)"
    )
    parser.addoption(
        "--later-schema", action="store_true", help="with --cluster: on tables as a later release may have widened them"
    )
    parser.addoption("--weed", help="the program weed of SeaweedFS, for tests/acceptance/cluster.sh and restore.sh")
    parser.addoption("--previous", help="the commit that is upgraded from, for tests/acceptance/upgrade.sh")
    parser.addoption("--no-skips", action="store_true", help="count a skipped test as a failure (CI)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of a database that hosts share, where it is not asked for (``--cluster``)."""
    if config.getoption("--cluster"):
        return
    of_database = [each for each in items if {"shared", "postgres_server"} & set(getattr(each, "fixturenames", ()))]
    if of_database:
        config.hook.pytest_deselected(items=of_database)
        items[:] = [each for each in items if each not in set(of_database)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and item.config.getoption("--no-skips"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {reason}"
    return report
