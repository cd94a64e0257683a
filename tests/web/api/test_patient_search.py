"""Search by patient over real sockets: found by any part of the name, and never named in an address, a log or Redis."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.support.redis_server import RedisServer
from tests.support.studies import a_radiograph, a_study, add_image, settle
from tests.web.api.test_ups_rs import service
from triage.decision.types import Tag
from triage.queue.score_queue import connect
from triage.spool.spool import Spool
from triage.worklist.index import IndexedWorklist
from triage.worklist.indexed_query import IndexedQuery
from triage.worklist.patient_match import matches, searchable, words
from triage.worklist.query import ListRequest

YAMADA = "YAMADA^TAROU=\u5c71\u7530^\u592a\u90ce=\u3084\u307e\u3060^\u305f\u308d\u3046"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("yamada", True),
        ("Tarou Yamada", True),
        ("YAMADA^TAR", True),
        ("\u5c71\u7530", True),
        ("\u305f\u308d\u3046", True),
        ("p-17", True),
        ("yamada p-17", True),
        ("yamadatarou", False),
        ("yamada smith", False),
        ("^ ,", False),
    ],
)
def test_a_patient_is_named_by_any_component_of_any_group_and_the_id(text: str, found: bool) -> None:
    assert matches(searchable("P-17", YAMADA), words(text)) is found


def test_accents_and_case_make_no_difference() -> None:
    who = searchable("", "M\u00fcller-L\u00fcdenscheidt^J\u00f6rg^^Dr.")
    assert all(matches(who, words(text)) for text in ("muller", "M\u00dcLLER", "jorg L\u00fcden", "dr."))


def test_studies_are_found_in_reading_order_and_the_patient_is_nowhere_else(
    redis_server: RedisServer, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    roe = {"PatientName": "ROE^JANE", "PatientID": "SECRET-7", "SpecificCharacterSet": "ISO_IR 192"}
    normal = a_study(spool, tag=Tag.NORMAL, attributes=roe)
    abnormal = a_study(spool, attributes=roe)
    other = a_study(spool)
    with service(redis_server, spool) as ask, redis_server.client() as client:

        def found(**query: object) -> list[str]:
            answer = ask.post("/api/search", json=query)
            assert answer.status_code == 200, answer.text
            assert answer.json()["complete"]
            return [each["study_instance_uid"] for each in answer.json()["entries"]]

        assert found(patient="roe jane") == [abnormal, normal]
        assert found(patient="secret-7", tag="NORMAL") == [normal]
        assert found(patient="doe") == [other]
        assert found(patient="roe", q="no such accession number") == []
        assert found(patient="unknown") == []
        assert found(text="roe jane") == [abnormal, normal]
        assert found(text=other) == [other]
        assert found(text="roe", tag="NORMAL") == [normal]
        assert found(text="unknown") == []
        for wrong in (
            {},
            {"patient": " "},
            {"patient": "x" * 65},
            {"patient": "x", "limit": 0},
            {"patient": "x", "y": 1},
            {"patient": "x", "text": "x"},
            {"text": "x", "q": "x"},
        ):
            assert ask.post("/api/search", json=wrong).status_code == 400
        assert ask.post("/api/search", json={"patient": "x", "cursor": "y"}).status_code == 400
        assert ask.get("/api/search", params={"patient": "roe"}).status_code == 405
        foreign = {"Origin": "http://elsewhere.example"}
        assert ask.post("/api/search", json={"patient": "roe"}, headers=foreign).status_code == 403
        metrics = ask.get("/metrics").text
        hashes = [key for key in client.scan_iter("*") if client.type(key) == b"hash"]
        kept = str([client.hgetall(key) for key in hashes])
    assert abnormal in kept
    assert "secret" not in (metrics + caplog.text + kept).lower()


def found_by(query: IndexedQuery, patient: str) -> tuple[set[str], bool]:
    """Return the studies that a search by patient finds, and whether all were searched."""
    page = query.page(ListRequest(patient=patient), 2e9)
    return {each.decision.study_instance_uid for each in page.studies}, page.complete


def test_what_cannot_be_read_in_time_is_said_and_read_the_next_time(redis_server: RedisServer, spool: Spool) -> None:
    studies = [a_study(spool) for _ in range(3)]
    with service(redis_server, spool), connect(redis_server.url, 5.0) as client:
        clock = Clock(step=0.9)
        query = IndexedQuery(IndexedWorklist(client), spool, 0.0, clock)
        some, complete = found_by(query, "doe")
        assert 0 < len(some) < 3 and not complete
        clock.step = 0.0
        assert found_by(query, "doe") == (set(studies), True)


def test_all_names_are_read_ahead_in_steps(redis_server: RedisServer, spool: Spool) -> None:
    studies = [a_study(spool) for _ in range(5)]
    with service(redis_server, spool), connect(redis_server.url, 5.0) as client:
        query = IndexedQuery(IndexedWorklist(client), spool, 0.0, clock := Clock(step=0.02))
        steps = 0  # there is never time for more than a few
        while not query.catch_up(0.05):
            steps += 1
        assert 0 < steps < 5
        clock.step = 0.0
        assert found_by(query, "doe") == (set(studies), True)


def test_a_study_whose_patient_comes_late_is_read_again_after_a_minute(redis_server: RedisServer, spool: Spool) -> None:
    clock = Clock()
    with service(redis_server, spool), connect(redis_server.url, 5.0) as client:
        index = IndexedWorklist(client)
        query = IndexedQuery(index, spool, 0.0, clock)
        study = a_study(spool, attributes={"PatientName": "", "PatientID": ""})
        index.put(settle(spool, study))
        assert found_by(query, "smith") == (set(), True)
        new = a_study(spool, attributes={"PatientName": "SMITH^ANN"})
        add_image(spool, a_radiograph(study, PatientName="SMITH^JOHN"))
        index.put(settle(spool, new))
        index.put(settle(spool, study))
        assert found_by(query, "smith") == ({new}, True)
        clock.now = 61.0
        assert found_by(query, "smith") == ({new, study}, True)


@dataclass
class Clock:
    """A clock that advances by ``step`` seconds at each look."""

    now: float = 0.0
    step: float = 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now
