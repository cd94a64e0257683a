"""The worklist page in a real browser, on a list in PostgreSQL: shown, ordered, searched, live, and without Redis."""

from __future__ import annotations

from playwright.sync_api import Browser, expect

from tests.support.browser import watched
from tests.support.cluster import Cluster
from tests.support.listed import ListSite
from tests.support.redis_server import RedisServer
from tests.support.worklist_page import served
from triage.decision.types import Tag
from triage.worklist.opening import worklist_of
from triage.worklist.table.worklist import TableWorklist


def test_a_page_follows_a_list_in_the_database_whatever_redis_does(
    browser: Browser, cluster: Cluster, redis_server: RedisServer
) -> None:
    store = cluster.open()
    elsewhere = ListSite(store, worklist_of(store, None))  # type: ignore[arg-type]  # another process: a worker
    of = {name: elsewhere.study(attributes={"PatientName": name}) for name in ("ZOE", "BEA")}
    with (
        served(redis_server, cluster.open()) as (address, sources),  # type: ignore[arg-type]
        watched(browser, width=1400, height=850) as page,
    ):
        assert isinstance(sources.worklist, TableWorklist)
        redis_server.client().flushall()
        page.goto(address)
        names = page.locator("#rows td.patient")
        expect(names).to_have_text(["ZOE", "BEA"])
        page.get_by_role("button", name="Patient", exact=True).click()
        expect(names).to_have_text(["BEA", "ZOE"])
        of["ANN"] = elsewhere.study(attributes={"PatientName": "ANN"}, tag=Tag.ABNORMAL)
        expect(names).to_have_text(["ANN", "BEA", "ZOE"])
        elsewhere.read(of["BEA"])
        expect(names).to_have_text(["ANN", "ZOE"])
        redis_server.client().flushall()
        elsewhere.read(of["ZOE"])
        expect(names).to_have_text(["ANN"])
        elsewhere.put_back(of["BEA"])
        expect(names).to_have_text(["ANN", "BEA"])
