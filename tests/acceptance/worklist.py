"""Two people at a list of 50,000 studies over nginx: tests/acceptance/worklist.sh."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.redis_server import RedisServer
from tests.support.signed_in_web import READER, quick_passwords
from tests.support.two_readers import Place, behind_nginx, page_through, person, use_together
from triage.spool.spool import Spool

__all__ = ["quick_passwords"]

STUDIES = int(os.environ.get("STUDIES", "50000"))


@pytest.fixture
def place(quick_passwords: None, redis_server: RedisServer, tmp_path: Path) -> Iterator[Place]:
    spool = Spool.open(Path(os.environ.get("SPOOL", str(tmp_path / "spool"))))
    with behind_nginx(redis_server, spool, tmp_path, STUDIES) as found:
        yield found


@pytest.mark.timeout(7200)
def test_two_people_share_a_long_list(browser: Browser, place: Place) -> None:
    with person(browser, place, READER) as page:
        page_through(page, place, 500)
    use_together(browser, place)
