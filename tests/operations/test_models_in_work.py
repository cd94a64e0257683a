"""Models of hosts: what is compared, and what is told."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from triage.operations.models_in_work import announce, differing, forget_ended
from triage.spool.spool import Spool

HOST = socket.gethostname()


def words(spool: Spool) -> list[str]:
    return [str(each) for each in differing(spool)]


def test_the_same_models_on_all_are_no_news(spool: Spool) -> None:
    assert differing(spool) == []
    for worker in ("a-1", "b-1"):
        announce(spool, worker, {"adult": "2 (aa)", "child": "1 (bb)"})
    assert differing(spool) == []


def test_another_form_and_a_missing_model_are_named_with_their_hosts(spool: Spool) -> None:
    announce(spool, "a-1", {"adult": "2 (aa)", "child": "1 (bb)"})
    announce(spool, "b-1", {"adult": "2 (cc)"})
    assert words(spool) == [f"adult: 2 (aa) on {HOST}; 2 (cc) on {HOST}", f"child: none on {HOST}; 1 (bb) on {HOST}"]


def test_what_a_worker_said_is_forgotten_when_it_has_ended(spool: Spool) -> None:
    with ExitStack() as living:
        for worker, form in (("a-1", "1 (aa)"), ("b-1", "2 (bb)")):
            living.enter_context(spool.workers.hold(worker))
            announce(spool, worker, {"adult": form})
        forget_ended(spool)
        assert len(differing(spool)) == 1
        living.pop_all().close()
    announce(spool, "c-1", {"adult": "2 (bb)"})
    with spool.workers.hold("c-1"):
        forget_ended(spool)
        assert differing(spool) == []
        assert spool.entries("models-in-work").names() == ["c-1"]


def test_what_another_release_wrote_is_left_out(spool: Spool) -> None:
    spool.entries("models-in-work").prepare()
    for name, content in (("a-1", "no JSON"), ("b-1", "[]"), ("c-1", '{"host": "c"}')):
        spool.entries("models-in-work").put(name, content)
    announce(spool, "d-1", {"adult": "1 (aa)"})
    assert differing(spool) == []
