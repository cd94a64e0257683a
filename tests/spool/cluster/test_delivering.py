"""The deliverer on a store in PostgreSQL: a dead letter that is requeued meanwhile, and writes that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.delivery.test_deliverer import Clock, a_deliverer
from tests.support.cluster import Cluster
from tests.support.receivers import store_scp
from tests.support.requeued import a_requeued_result, assert_the_newest_is_there, deliver_all
from triage.delivery.deliverer import Deliverer
from triage.delivery.outbox import Outbox

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.parametrize("moment", ["before it is built", "while it is built"])
def test_a_dead_letter_that_is_requeued_while_a_newer_result_is_built(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, moment: str
):
    clock, threads = Clock(), list[Any]()
    build, put = Deliverer._build_one, Outbox.put

    def build_later(self: Any, uid: str, *others: Any) -> None:
        if not threads:
            threads.append(result.requeue_elsewhere())
            threads[0].join()
        build(self, uid, *others)

    def put_later(self: Outbox, *of_message: Any) -> None:
        threads.append(result.requeue_elsewhere())
        put(self, *of_message)

    def pass_time() -> None:
        threads[0].join()
        clock.at += 40.0

    with store_scp() as scp:
        deliverer = a_deliverer(cluster.open(), scp.port, clock)  # type: ignore[arg-type]
        result = a_requeued_result(deliverer)
        if moment == "before it is built":
            monkeypatch.setattr(Deliverer, "_build_one", build_later)
        else:
            monkeypatch.setattr(Outbox, "put", put_later)
        deliver_all(deliverer, pass_time)

    assert_the_newest_is_there(result, scp.received)
