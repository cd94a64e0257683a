"""The list by index and spool, against a real Redis: orders, filters and pages as a plain sort has them."""

from __future__ import annotations

import errno
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.support.builders import a_decision
from tests.support.redis_server import RedisServer
from tests.support.studies import a_study
from tests.support.wait import wait_for
from triage.decision.records import decision_from
from triage.decision.types import Priority, Tag, TriageDecision
from triage.decision.urgency import Urgency
from triage.operations.retention import AgeLimits, remove_old
from triage.spool.spool import Spool
from triage.worklist import indexed_query, list_order
from triage.worklist.index import IndexedWorklist
from triage.worklist.index_state import FirstToRead
from triage.worklist.indexed_query import IndexedQuery
from triage.worklist.list_filter import ListFilter
from triage.worklist.list_order import Column, Sort
from triage.worklist.list_selection import Moment, select
from triage.worklist.listed_study import ListedStudy
from triage.worklist.page import BadCursorError
from triage.worklist.query import ListRequest
from triage.worklist.reader_acts import Act, Marking, Via, mark
from triage.worklist.study_facts import StudyFacts

NOW = 1000.0


def drawn(count: int, seed: int = 1) -> list[ListedStudy]:
    """Studies by arrival, with few different values, so that many are equal, and with missing ones."""
    rng = random.Random(seed)
    found = [
        ListedStudy(
            a_decision(
                f"1.2.{n}",
                priority=rng.choice(list(Priority)),
                tag=rng.choice(list(Tag)),
                received_at=float(rng.randrange(1, 30)),
                accession_number=rng.choice(["", "A1", "B2"]),
                calling_ae_title=rng.choice(["DX1", "DX2", "CR"]),
            ),
            StudyFacts(
                patient_name=rng.choice(["", "Ärzte^A", "Zorn^Z", "abel^B"]),
                age_years=rng.choice([None, 0.5, 7.0, 60.0]),
                view=rng.choice(["", "PA", "AP, LATERAL"]),
                acquired_at=rng.choice([None, 0.0, 3.0, 9.0]),
            ),
        )
        for n in range(count)
    ]
    return sorted(found, key=lambda study: study.arrival)


def uids(studies: Iterator[ListedStudy] | list[ListedStudy]) -> list[str]:
    return [each.decision.study_instance_uid for each in studies]


def all_pages(studies: list[ListedStudy], request: ListRequest, cap_s: float) -> Iterator[ListedStudy]:
    cursor = None
    while True:
        asked = replace(request, cursor=cursor)
        moment = Moment.of(asked, NOW, cap_s)
        page, cursor = select(studies, asked, moment).page(asked, moment)
        assert len(page) <= request.limit
        yield from page
        if cursor is None:
            return


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("column", list(Column))
def test_all_pages_of_an_order_are_each_study_once_in_that_order(column: Column, descending: bool) -> None:
    studies = drawn(60)
    sort = Sort(column, descending)
    found = list(all_pages(studies, ListRequest(7, sort=sort), 0.0))
    assert sorted(uids(found)) == sorted(uids(studies))
    value = list_order._VALUES[column]
    values = [value(each) for each in found]
    known = [each for each in values if each not in ("", None)]
    assert values[len(known) :] == [each for each in values if each in ("", None)]  # those without a value are last
    assert known == sorted(known, reverse=descending)  # type: ignore[type-var]
    for one, other in pairwise(found):
        if value(one) == value(other):
            assert one.decision.received_at <= other.decision.received_at


@pytest.mark.parametrize("limit", [1, 7, 100])
@pytest.mark.parametrize("cap_s", [0.0, 985.0])
def test_a_filtered_reading_order_is_the_reading_order_of_the_filtered(limit: int, cap_s: float) -> None:
    studies = drawn(60, 2)
    wanted = ListFilter(senders=frozenset({"DX1", "CR"}))
    found = list(all_pages(studies, ListRequest(limit, filter=wanted), cap_s))
    cutoff = NOW - cap_s if cap_s else 0.0
    rank = {Priority.HIGH: 1, Priority.MEDIUM: 2, Priority.LOW: 3}

    def place(study: ListedStudy) -> tuple[int, float, str]:
        late = study.decision.received_at < cutoff
        return (0 if late else rank[study.decision.priority], study.decision.received_at, uids([study])[0])

    admitted = [each for each in studies if each.decision.calling_ae_title != "DX2"]
    assert uids(found) == uids(sorted(admitted, key=place))


@pytest.mark.parametrize("damage", ["x", "W10", "WzEsInRhZyIsZmFsc2UsMCwieCIsMS4wLCIxLjIiXQ", "bnVsbA", "Ü"])
def test_a_cursor_of_another_order_or_none_is_refused(damage: str) -> None:
    by_age = Sort(Column.AGE)
    asked = ListRequest(3, sort=by_age)
    _, cursor = select(drawn(9), asked, Moment.of(asked, NOW, 0.0)).page(asked, Moment.of(asked, NOW, 0.0))
    for wrong, sort in ((damage, by_age), (cursor, Sort(Column.TAG)), (cursor, Sort(Column.AGE, True)), (cursor, None)):
        with pytest.raises(BadCursorError):
            Moment.of(ListRequest(3, wrong, sort), NOW, 0.0)


@pytest.mark.parametrize(
    ("wanted", "admits"),
    [
        (ListFilter(), True),
        (ListFilter(tags=frozenset({Tag.NORMAL})), True),
        (ListFilter(tags=frozenset({Tag.ABNORMAL})), False),
        (ListFilter(views=frozenset({"LATERAL", "AP"})), True),
        (ListFilter(views=frozenset({"AP"})), False),
        (ListFilter(age_from=60.0, age_to=60.0), True),
        (ListFilter(age_to=59.9), False),
        (ListFilter(arrived_within_s=10.0), True),
        (ListFilter(arrived_within_s=9.0), False),
        (ListFilter(urgencies=frozenset({Urgency.CRITICAL})), False),
    ],
)
def test_a_filter_admits_what_meets_all_its_conditions(wanted: ListFilter, admits: bool) -> None:
    study = ListedStudy(a_decision(received_at=NOW - 10.0), StudyFacts(view="PA, LATERAL", age_years=60.0))
    assert wanted.admits(study, NOW) is admits


def test_a_study_of_unknown_age_is_hidden_by_no_age() -> None:
    assert ListFilter(age_from=18.0, age_to=99.0).admits(ListedStudy(a_decision()), NOW)


@pytest.fixture
def listed(redis_server: RedisServer, spool: Spool) -> tuple[IndexedWorklist, Spool, IndexedQuery]:
    index = IndexedWorklist(redis_server.client())
    index.end_building(index.begin_building())
    return index, spool, IndexedQuery(index, spool, 3600.0)


def add(spool: Spool, index: IndexedWorklist, **more: object) -> TriageDecision:
    record = spool.decision(a_study(spool, **more))  # type: ignore[arg-type]
    assert record is not None
    index.put(decision := decision_from(record))
    return decision


def test_what_comes_first_and_is_filtered_out_is_counted(listed: tuple[IndexedWorklist, Spool, IndexedQuery]) -> None:
    index, spool, query = listed
    add(spool, index, tag=Tag.NORMAL, view="PA")
    add(spool, index, tag=Tag.ABNORMAL, view="AP")
    add(spool, index, tag=Tag.ABNORMAL, view="PA")
    add(spool, index, tag=Tag.NORMAL, view="AP", received_at=time.time() - 4000)
    whole = query.page(ListRequest(), time.time())
    assert (whole.matching, whole.first, whole.outside) == (4, FirstToRead(2, 1), FirstToRead())
    page = query.page(ListRequest(filter=ListFilter(views=frozenset({"PA"}))), time.time())
    assert (page.matching, page.first, page.outside) == (2, FirstToRead(2, 1), FirstToRead(1, 1))
    nothing = query.page(ListRequest(text="no such patient"), time.time())
    assert (nothing.matching, nothing.outside) == (0, FirstToRead(2, 1))
    assert query.choices().views == ("AP", "PA")


def test_a_study_that_is_read_or_comes_is_seen_at_once_in_every_order(
    listed: tuple[IndexedWorklist, Spool, IndexedQuery],
) -> None:
    index, spool, query = listed
    by_name = ListRequest(sort=Sort(Column.PATIENT_NAME))
    zoe = add(spool, index, attributes={"PatientName": "ZOE"})
    assert uids(list(query.page(by_name, time.time()).studies)) == [zoe.study_instance_uid]
    ann = add(spool, index, attributes={"PatientName": "ANN"})
    page = query.page(by_name, time.time())
    assert [each.facts.patient_name for each in page.studies] == ["ANN", "ZOE"]
    mark(spool, index, ann.study_instance_uid, Marking(Act.READ, time.time(), "a", Via.API))
    assert uids(list(query.page(by_name, time.time()).studies)) == [zoe.study_instance_uid]
    assert uids(list(query.last_read(5))) == [ann.study_instance_uid]


def test_retention_removes_a_patient_from_memory_too(listed: tuple[IndexedWorklist, Spool, IndexedQuery]) -> None:
    index, spool, query = listed
    gone = add(spool, index, attributes={"PatientName": "GONE^ONE"}).study_instance_uid
    kept = add(spool, index, attributes={"PatientName": "KEPT^ONE"}).study_instance_uid
    by_name = ListRequest(sort=Sort(Column.PATIENT_NAME))
    query.page(by_name, time.time())
    mark(spool, index, gone, Marking(Act.READ, time.time(), "a", Via.API))
    query.last_read(5)  # shown once more among those that were read
    assert remove_old(spool, index, AgeLimits(time.time() + 10 * 86400, 1.0)) == (1, 1)
    query.catch_up(1.0)  # as its thread does every two seconds
    assert query._facts._facts.keys() == {kept}
    assert "GONE" not in repr([each.studies for each in query._selections.values()])
    assert uids(list(query.page(by_name, time.time()).studies)) == [kept]


def test_a_store_that_was_away_does_not_end_the_thread_that_follows(
    listed: tuple[IndexedWorklist, Spool, IndexedQuery], monkeypatch: pytest.MonkeyPatch
) -> None:
    index, spool, query = listed
    study = add(spool, index).study_instance_uid
    stopping, touched, fails = threading.Event(), spool.touched, [True]

    def away_once(_: Spool, uid: str) -> float:
        if fails.pop() if fails else False:
            raise OSError(errno.ECONNRESET, "the database is away")
        return touched(uid)

    monkeypatch.setattr(Spool, "touched", away_once)
    monkeypatch.setattr(indexed_query, "_WITHOUT_STORE_S", 0.01)
    thread = threading.Thread(target=query.follow, args=(stopping,))
    thread.start()
    try:
        wait_for(lambda: query._facts.of(study).patient_id == "P-1", "the patient to be known")
        assert not fails
    finally:
        stopping.set()
        thread.join()
