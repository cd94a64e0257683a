"""A worklist in Redis, and a study in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.redis_server import RedisServer
from tests.support.worklist_page import tagged
from triage.decision.types import Tag, TriageDecision
from triage.spool.spool import Spool
from triage.worklist.index import IndexedWorklist


@pytest.fixture
def index(redis_server: RedisServer) -> Iterator[IndexedWorklist]:
    with redis_server.client() as client:
        yield IndexedWorklist(client)


@pytest.fixture
def study(spool: Spool, index: IndexedWorklist) -> TriageDecision:
    return tagged(spool, index, 1, Tag.ABNORMAL)
