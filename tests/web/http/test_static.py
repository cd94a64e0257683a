"""Files of the pages: all that a page names is served with the headers of pages, and is in the wheel."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support import reader_study, worklist_page
from tests.support.redis_server import RedisServer
from triage.spool.spool import Spool
from triage.web.http.static import PAGE_HEADERS

ROOT = Path(__file__).parents[3]
NAMED = re.compile(r'(?:"(?:\.\./)*/?page/|from "\./)([\w.-]+)"')


@pytest.fixture
def worklist(redis_server: RedisServer, spool: Spool) -> Iterator[str]:
    with worklist_page.served(redis_server, spool) as (address, _):
        yield f"{address}/"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[str]:
    study = reader_study.a_study(tmp_path, cases=1, readers=("anna",))
    with reader_study.served(study) as address:
        yield f"{address}/r/{study.tokens['anna']}/"


@pytest.mark.parametrize("page", ["worklist", "reader"])
def test_what_a_page_names_is_served(page: str, request: pytest.FixtureRequest) -> None:
    address = request.getfixturevalue(page)
    with httpx.Client(trust_env=False, timeout=60) as ask:
        waiting, seen = NAMED.findall(ask.get(address).text), set()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            answer = ask.get(httpx.URL(address).join(f"/page/{name}"))
            assert answer.status_code == 200, name
            assert answer.headers["content-security-policy"] == PAGE_HEADERS["Content-Security-Policy"]
            seen.add(name)
            waiting += NAMED.findall(answer.text)
    assert {"base.css", "page.css", "server.js", "asking.js", "view.js"} <= seen


def test_what_lies_beside_the_code_is_in_the_wheel() -> None:
    packed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    found = {
        file
        for package, patterns in packed.items()
        for pattern in patterns
        for file in (ROOT / package.replace(".", "/")).glob(pattern)
    }
    present = {file for file in (ROOT / "triage").rglob("*") if file.is_file() and file.suffix not in {".py", ".pyc"}}
    assert present
    assert present <= found
