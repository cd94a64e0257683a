"""What decides on hosts: what is compared, and what is told."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack

import pytest

from triage.operations.in_work import Part, announce, at_work, differences, forget_ended, form_of_value
from triage.spool.spool import Spool

HOST = socket.gethostname()


def words(spool: Spool) -> list[str]:
    return [f"{each.part}: {each}" for each in differences(at_work(spool))]


def models(**forms: str) -> dict[str, dict[str, str]]:
    return {Part.MODELS: forms}


def test_the_same_models_on_all_are_no_news(spool: Spool) -> None:
    assert words(spool) == []
    for worker in ("a-1", "b-1"):
        announce(spool, worker, models(adult="2 (aa)", child="1 (bb)"))
    assert words(spool) == []


def test_another_form_and_a_missing_model_are_named_with_their_hosts(spool: Spool) -> None:
    announce(spool, "a-1", models(adult="2 (aa)", child="1 (bb)"))
    announce(spool, "b-1", models(adult="2 (cc)"))
    assert words(spool) == [
        f"models: adult: 2 (aa) on {HOST}; 2 (cc) on {HOST}",
        f"models: child: none on {HOST}; 1 (bb) on {HOST}",
    ]


def test_each_part_is_compared_by_itself(spool: Spool) -> None:
    announce(spool, "a-1", {Part.PRIORITIES: {"decision.urgency": '["*=urgent"]'}, Part.IMAGES: {"x": "1"}})
    announce(spool, "b-1", {Part.PRIORITIES: {"decision.urgency": '["*=nonurgent"]'}, Part.IMAGES: {"x": "1"}})
    assert words(spool) == [
        f'priorities: decision.urgency: ["*=nonurgent"] on {HOST}; ["*=urgent"] on {HOST}',
    ]


def test_what_a_worker_said_is_forgotten_when_it_has_ended(spool: Spool) -> None:
    with ExitStack() as living:
        for worker, form in (("a-1", "1 (aa)"), ("b-1", "2 (bb)")):
            living.enter_context(spool.workers.hold(worker))
            announce(spool, worker, models(adult=form))
        forget_ended(spool)
        assert len(words(spool)) == 1
        living.pop_all().close()
    announce(spool, "c-1", models(adult="2 (bb)"))
    with spool.workers.hold("c-1"):
        forget_ended(spool)
        assert words(spool) == []
        assert spool.entries("models-in-work").names() == ["c-1"]


def test_what_is_no_record_is_left_out(spool: Spool) -> None:
    spool.entries("models-in-work").prepare()
    for name, content in (("a-1", "no JSON"), ("b-1", "[]"), ("c-1", '{"host": "c"}')):
        spool.entries("models-in-work").put(name, content)
    announce(spool, "d-1", models(adult="1 (aa)"))
    assert words(spool) == []


def test_a_worker_of_the_release_before_is_compared_by_its_models_alone(spool: Spool) -> None:
    announce(spool, "a-1", {**models(adult="1 (aa)"), Part.PRIORITIES: {"decision.silent": "false"}})
    spool.entries("models-in-work").put("b-1", json.dumps({"host": "b", "models": {"adult": "1 (aa)"}}))
    assert words(spool) == []
    spool.entries("models-in-work").put("b-1", json.dumps({"host": "b", "models": {"adult": "2 (bb)"}}))
    assert words(spool) == [f"models: adult: 1 (aa) on {HOST}; 2 (bb) on b"]


def test_the_release_before_still_reads_the_models(spool: Spool) -> None:
    announce(spool, "a-1", {**models(adult="1 (aa)"), Part.IMAGES: {"x": "1"}})
    record = json.loads(spool.entries("models-in-work").get("a-1"))
    assert record["models"] == {"adult": "1 (aa)"} and record["host"] == HOST


class TestForms:
    def test_a_short_value_is_told_as_it_is(self):
        assert form_of_value(0.5) == "0.5" and form_of_value(None) == "null"
        assert form_of_value(("b=1", "a=2")) == '["a=2", "b=1"]'

    @pytest.mark.parametrize("value", [["b", "a"], ("a", "b")])
    def test_the_order_of_a_list_counts_for_nothing(self, value: object):
        assert form_of_value(value) == '["a", "b"]'

    def test_a_long_value_is_told_by_its_number_and_a_digest(self):
        long = [f"word {number}" for number in range(20)]
        form = form_of_value(long)
        assert form.startswith("20 entries (") and len(form) < 40
        assert form_of_value(long[::-1]) == form != form_of_value([*long[:-1], "another"])
