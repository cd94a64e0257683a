"""The contract of the worklist: one suite, run against each implementation (`pytest --cluster` for PostgreSQL's).

No test knows where a row, an entry or a patient lies.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from tests.spool.conftest import cluster, postgres_server
from tests.support.listed import ListSite, pages, uids
from tests.support.redis_server import RedisServer
from tests.support.wait import wait_for
from triage.decision.decide import decide
from triage.decision.records import assessment_from, to_record
from triage.decision.types import Priority, PriorityPolicy, Tag
from triage.decision.urgency import Urgency
from triage.operations.retention import AgeLimits, expire_old, remove_old
from triage.spool.recall_file import add_scored_again
from triage.spool.spool import Spool
from triage.worklist import list_order
from triage.worklist.index import IndexedWorklist
from triage.worklist.index_state import FirstToRead
from triage.worklist.list_filter import ListFilter
from triage.worklist.list_order import Column, Sort
from triage.worklist.list_selection import Moment, select
from triage.worklist.opening import patients_of, worklist_of
from triage.worklist.page import BadCursorError
from triage.worklist.patient_studies import others
from triage.worklist.query import ListRequest

__all__ = ["cluster", "postgres_server"]  # fixtures

NOW = 2_000_000.0
DAY = 86400.0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "implementation" in metafunc.fixturenames:
        there = ["files", *["postgres+s3"] * bool(metafunc.config.getoption("--cluster"))]
        metafunc.parametrize("implementation", there)


@pytest.fixture
def opened(implementation: str, request: pytest.FixtureRequest) -> Callable[[], ListSite]:
    """Opens the site; a second call is that of another process."""
    if implementation == "files":
        server: RedisServer = request.getfixturevalue("redis_server")
        spool: Spool = request.getfixturevalue("spool")
        index = IndexedWorklist(server.client())
        index.end_building(index.begin_building())
        return lambda: ListSite(spool, worklist_of(spool, server.client()))
    made = request.getfixturevalue("cluster")

    def open_cluster() -> ListSite:
        store = made.open()
        return ListSite(store, worklist_of(store, None))  # type: ignore[arg-type]  # it needs no Redis

    return open_cluster


@pytest.fixture
def site(opened: Callable[[], ListSite]) -> ListSite:
    return opened()


def drawn(site: ListSite, count: int, seed: int = 1) -> list[str]:
    """Studies with few different values, so that many are equal, and with missing ones."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        given: dict[str, Any] = {
            "PatientName": rng.choice(["", "Ärzte^Ä", "Zorn^Z", "abel^B", "山田^太郎"]),
            "PatientID": rng.choice(["", "7", "70"]),
            "PatientSex": rng.choice(["", "F", "M"]),
            "StudyDescription": rng.choice(["", "Thorax", "Émile"]),
            "ReferringPhysicianName": rng.choice(["", "House^G", "Ärztin^B"]),
            "CurrentPatientLocation": rng.choice(["", "ICU", "Ward 2"]),
            "AccessionNumber": rng.choice(["", "A1", "b2"]),
            "SpecificCharacterSet": "ISO_IR 192",
        }
        uid = site.study(
            uid=f"1.2.{number}",
            attributes=given,
            tag=rng.choice(list(Tag)),
            received_at=NOW - float(rng.randrange(1, 30)),
            calling_ae_title=rng.choice(["DX1", "DX2", "CR"]),
            age_years=rng.choice([None, 0.5, 7.0, 60.0]),
            view=rng.choice(["", "PA", "AP"]),
        )
        found.append(uid)
    return found


def in_reading_order(site: ListSite, cap_s: float) -> list[str]:
    """The listed studies in reading order, as the design words it."""
    rank = {Priority.HIGH: 1, Priority.MEDIUM: 2, Priority.LOW: 3}
    found = [each.decision for each in site.query().page(ListRequest(500), NOW).studies]

    def place(decision: Any) -> tuple[int, float, str]:
        late = bool(cap_s) and decision.received_at < NOW - cap_s
        return 0 if late else rank[decision.priority], decision.received_at, decision.study_instance_uid

    return [each.study_instance_uid for each in sorted(found, key=place)]


@pytest.mark.parametrize("cap_s", [0.0, 12.0, 1e6])
@pytest.mark.parametrize("limit", [1, 7, 100])
def test_all_pages_together_are_the_reading_order(site: ListSite, limit: int, cap_s: float) -> None:
    drawn(site, 25)
    found = [uid for page in pages(site.query(cap_s), ListRequest(limit), NOW) for uid in page]
    assert found == in_reading_order(site, cap_s)
    assert len(found) == 25 == site.worklist.count()


def test_every_order_has_each_study_once_from_both_ends(site: ListSite) -> None:
    drawn(site, 30)
    query = site.query()
    studies = sorted(query.page(ListRequest(500), NOW).studies, key=lambda each: each.arrival)
    for column in Column:
        for descending in (False, True):
            asked = ListRequest(7, sort=Sort(column, descending))
            found = [uid for page in pages(query, asked, NOW) for uid in page]
            wanted = select(studies, asked, Moment.of(asked, NOW, 0.0)).studies
            assert found == [each.decision.study_instance_uid for each in wanted], (column, descending)


FILTERS = (
    ListFilter(tags=frozenset({Tag.ABNORMAL, Tag.NORMAL})),
    ListFilter(urgencies=frozenset({Urgency.URGENT})),
    ListFilter(senders=frozenset({"DX1", "CR"})),
    ListFilter(views=frozenset({"PA", "LATERAL"})),
    ListFilter(age_from=1.0, age_to=60.0),
    ListFilter(age_to=7.0),
    ListFilter(arrived_within_s=10.0),
    ListFilter(tags=frozenset({Tag.NORMAL}), senders=frozenset({"DX2"}), age_from=0.5),
)
SEARCHES = (
    {"patient": "arzte"},
    {"patient": "ÄRZ"},
    {"patient": "zorn 7"},
    {"patient": "z z"},
    {"patient": "山"},
    {"patient": "山田 太郎"},
    {"patient": "nobody"},
    {"patient": "^ ,"},
    {"patient": "a\0b"},
    {"number": "a1"},
    {"number": "DX"},
    {"number": "x1"},
    {"number": "1.2.1"},
    {"number": "%"},
    {"number": "a\nb"},
    {"text": "abel"},
    {"text": "b2"},
    {"text": "A1"},
    {"text": "cr"},
    {"text": "7"},
    {"text": "^"},
    {"text": "no such text"},
    {"patient": "abel", "number": "dx"},
)


def test_a_filter_and_a_search_find_what_the_pure_functions_admit(site: ListSite) -> None:
    drawn(site, 40)
    query = site.query(12.0)
    studies = sorted(query.page(ListRequest(500), NOW).studies, key=lambda each: each.arrival)
    asked = [ListRequest(3, filter=each) for each in FILTERS]
    asked += [ListRequest(3, **each) for each in SEARCHES]  # type: ignore[arg-type]
    asked += [ListRequest(3, sort=Sort(Column.AGE, True), filter=FILTERS[2], text="1")]
    whole = FirstToRead(
        sum(each.decision.priority is Priority.HIGH for each in studies),
        sum(each.decision.priority is not Priority.HIGH and each.decision.received_at < NOW - 12 for each in studies),
    )
    assert whole.high and whole.past_cap
    for request in asked:
        wanted = select(studies, request, Moment.of(request, NOW, 12.0))
        found = [uid for page in pages(query, request, NOW) for uid in page]
        assert found == [each.decision.study_instance_uid for each in wanted.studies], request
        page = query.page(request, NOW)
        assert (page.matching, page.first) == (len(wanted.studies), whole), request
        assert page.outside == whole.without(wanted.first), request


def test_a_name_of_several_groups_is_found_by_each(site: ListSite) -> None:
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    uid = site.study(attributes={"PatientName": name, "SpecificCharacterSet": "ISO_IR 192"})
    other = site.study(attributes={"PatientName": "Müller^Åsa", "SpecificCharacterSet": "ISO_IR 192"})
    query = site.query()
    for words in ("yamada", "TAROU yam", "太郎", "やまだ"):
        assert uids(query.page(ListRequest(patient=words), time.time())) == [uid], words
    for words in ("muller", "MÜLLER", "asa mull"):
        assert uids(query.page(ListRequest(patient=words), time.time())) == [other], words
    assert uids(query.page(ListRequest(patient="yamada muller"), time.time())) == []


def test_what_no_database_holds_is_listed_all_the_same(site: ListSite) -> None:
    given = {"PatientName": "NUL\0L^" + "ﷺ" * 200, "PatientID": "x" * 600, "AccessionNumber": "n" * 5000}
    given["SpecificCharacterSet"] = "ISO_IR 192"
    uid = site.study(attributes=given, accession_number="n" * 5000, calling_ae_title="Q" * 300)
    query = site.query()
    for sort in (None, Sort(Column.PATIENT_NAME), Sort(Column.PATIENT_ID), Sort(Column.ACCESSION)):
        assert uids(query.page(ListRequest(sort=sort), time.time())) == [uid]
    assert site.worklist.with_accession_number("n" * 5000) == (uid,)
    assert site.worklist.with_accession_number("n" * 4999) == ()


@pytest.mark.parametrize(
    "cursor",
    [
        *("x", "####", "MTIz", "MSw5LGE", "bnVsbA", "Ü", "W10", "WzEsInRhZyIsZmFsc2UsMCwieCIsMS4wLCIxLjIiXQ"),
        list_order.cursor_at((0, 1.0, 10**40, "1.2"), Sort(Column.AGE), 0),
        list_order.cursor_at((0, 1.0, 1, "1.2"), Sort(Column.AGE), 10**40),
    ],
)
def test_a_cursor_of_another_order_or_none_is_refused(site: ListSite, cursor: str) -> None:
    drawn(site, 4)
    query = site.query(5.0)
    for sort in (None, Sort(Column.AGE), Sort(Column.TAG, True)):
        if sort == Sort(Column.AGE) and cursor.startswith(("WzAs", "WzEwM")) and site.worklist.is_of_store is False:
            continue  # in memory any number can be compared
        with pytest.raises(BadCursorError):
            query.page(ListRequest(3, cursor, sort), NOW)


def test_a_cursor_of_one_order_is_none_of_another(site: ListSite) -> None:
    drawn(site, 9)
    query = site.query()
    by_age = query.page(ListRequest(3, sort=Sort(Column.AGE)), NOW).next_cursor
    in_order = query.page(ListRequest(3), NOW).next_cursor
    for cursor, sort in ((by_age, Sort(Column.TAG)), (by_age, Sort(Column.AGE, True)), (by_age, None)):
        with pytest.raises(BadCursorError):
            query.page(ListRequest(3, cursor, sort), NOW)
    with pytest.raises(BadCursorError):
        query.page(ListRequest(3, in_order, Sort(Column.AGE)), NOW)


@pytest.mark.parametrize("sort", [None, Sort(Column.ARRIVED), Sort(Column.PATIENT_NAME, True)])
def test_a_list_that_changes_while_it_is_paged_hides_no_study_that_stays(site: ListSite, sort: Sort | None) -> None:
    """Between pages studies are read, raised and new: each of those that stay comes exactly once."""
    studies = drawn(site, 24, seed=4)
    query, cursor, found = site.query(), None, list[str]()
    rng = random.Random(5)
    leaving = rng.sample(studies, 4)
    raised = rng.sample(sorted(set(studies) - set(leaving)), 2)
    for number in range(100):
        page = query.page(ListRequest(4, cursor, sort), NOW)
        found += uids(page)
        cursor = page.next_cursor
        if cursor is None:
            break
        if number < 4:
            site.read(leaving[number])
        if number < 2:
            site.image(raised[number], tag=Tag.ABNORMAL, received_at=NOW - 3)
            site.decide(raised[number])
    assert cursor is None
    still = set(studies) - set(leaving) - set(raised)
    assert [uid for uid in found if uid in still] and {uid for uid in found if uid in still} == still
    assert all(found.count(uid) == 1 for uid in still)
    assert sorted(uids(query.page(ListRequest(100, None, sort), NOW))) == sorted(set(studies) - set(leaving))


def test_what_was_read_leaves_comes_back_and_is_known_as_read(site: ListSite) -> None:
    one, other = site.study(), site.study()
    query = site.query()
    site.read(one, at=time.time())
    assert uids(query.page(ListRequest(), time.time())) == [other] == uids(site.worklist.page(None, 9, time.time()))
    site.read(other, at=time.time() + 1)
    assert [each.decision.study_instance_uid for each in query.last_read(5)] == [other, one]
    assert [each.study_instance_uid for each in site.worklist.last_read(1)] == [other]
    assert query.last_read(1)[0].facts.patient_name == "DOE^JANE"
    site.put_back(one)
    assert uids(query.page(ListRequest(), time.time())) == [one]
    assert [each.decision.study_instance_uid for each in query.last_read(5)] == [other]


def test_a_new_image_of_a_read_study_lists_it_again(site: ListSite) -> None:
    uid = site.study()
    site.read(uid)
    site.image(uid, tag=Tag.ABNORMAL)
    site.decide(uid)
    assert uids(site.query().page(ListRequest(), time.time())) == [uid] and site.query().last_read(5) == ()
    assert site.worklist.unread_high(5) == (1, (uid,))


def test_a_study_that_was_recalled_and_scored_as_before_stays_read(site: ListSite) -> None:
    uid = site.study()
    site.read(uid)
    with site.store.study_lock(uid):
        add_scored_again(site.store, uid, time.time() + 1, site.store.assessments(uid))
    site.decide(uid, revision="another")
    assert uids(site.query().page(ListRequest(), time.time())) == []
    assert [each.decision.revision for each in site.query().last_read(5)] == ["another"]


def test_numbers(site: ListSite) -> None:
    now = time.time()
    one = site.study(tag=Tag.ABNORMAL, received_at=now - 5, attributes={"AccessionNumber": "N1"})
    two = site.study(tag=Tag.ABNORMAL, received_at=now - 4, attributes={"AccessionNumber": "N2"})
    late = site.study(received_at=now - 5000, attributes={"AccessionNumber": "N1"})
    worklist = site.worklist
    assert worklist.count() == 3 and worklist.is_built()
    assert worklist.unread_high(9) == (2, (one, two)) and worklist.unread_high(1) == (2, (two,))
    assert worklist.first_to_read(now, 3600.0) == FirstToRead(2, 1)
    assert worklist.first_to_read(now, 0.0) == FirstToRead(2, 0)
    assert worklist.tagged_since(now - 60) == 3 and worklist.tagged_since(time.time() + 60) == 0
    assert worklist.last_result_at() == pytest.approx(time.time(), abs=60)
    assert set(worklist.with_accession_number("N1")) == {one, late}
    assert worklist.with_accession_number("") == () == worklist.with_accession_number("N")
    site.read(one)
    assert {each.study_instance_uid for each in worklist.listed([one, two], ["N1"])} == {two, late}
    assert list(worklist.arrived_before(now - 4.5)) == [late]
    assert set(worklist.with_accession_number("N1")) == {one, late}
    known = worklist.get(one)
    assert known is not None and known.study_instance_uid == one and worklist.get("1.2.3") is None
    assert worklist.why_away() == ""


def test_choices_are_those_of_the_unread(site: ListSite) -> None:
    site.study(calling_ae_title="B", view="PA")
    gone = site.study(calling_ae_title="A", view="AP")
    site.read(gone)
    found = site.query().choices()
    assert (found.senders, found.views) == (("B",), ("PA",))


def test_a_silent_study_is_on_no_list(site: ListSite) -> None:
    uid = "1.2.77"
    site.image(uid)
    site.decide(uid, silent=True)
    worklist = site.worklist
    assert worklist.count() == 0 and uids(site.query().page(ListRequest(), time.time())) == []
    assert worklist.get(uid) is None and list(worklist.arrived_before(time.time() + 60)) == []


def test_what_another_process_writes_is_seen_at_once_in_every_order(opened: Callable[[], ListSite]) -> None:
    here, there = opened(), opened()
    query = there.query()
    by_name = ListRequest(sort=Sort(Column.PATIENT_NAME))
    zoe = here.study(attributes={"PatientName": "ZOE"})
    assert uids(query.page(by_name, time.time())) == [zoe]
    ann = here.study(attributes={"PatientName": "ANN"})
    assert uids(query.page(by_name, time.time())) == [ann, zoe]
    here.read(ann)
    assert uids(query.page(by_name, time.time())) == [zoe]
    assert uids(query.page(ListRequest(), time.time())) == [zoe]


def test_each_change_is_another_number(opened: Callable[[], ListSite]) -> None:
    here, there = opened(), opened()
    seen = there.worklist.changes()

    def changed() -> bool:
        nonlocal seen
        before, seen = seen, there.worklist.changes()
        return before != seen

    acts: list[Callable[[], object]] = [lambda: here.study(uid="1.2.3"), lambda: here.read("1.2.3")]
    acts += [lambda: here.put_back("1.2.3"), lambda: here.worklist.touch("1.2.3")]
    for act in acts:
        wait_for(lambda: not changed(), "the list to be quiet")
        act()
        wait_for(changed, "the change to be told")


def test_retention_leaves_nothing_of_a_patient(site: ListSite) -> None:
    gone, kept = (site.study(attributes={"PatientName": f"{name}^ONE", "PatientID": name}) for name in ("GONE", "KEPT"))
    query = site.query()
    site.read(gone)
    assert remove_old(site.store, site.worklist, AgeLimits(time.time() + 10 * DAY, 1.0)) == (1, 1)
    for request in (ListRequest(), ListRequest(patient="gone"), ListRequest(sort=Sort(Column.PATIENT_NAME))):
        assert gone not in uids(query.page(request, time.time()))
    assert query.last_read(9) == () and site.worklist.get(gone) is None
    assert uids(query.page(ListRequest(), time.time())) == [kept]
    assert site.worklist.with_accession_number("ACC-1") == (kept,)


def test_age_takes_studies_off_the_list(site: ListSite) -> None:
    uid = site.study(received_at=time.time() - 100)
    assert expire_old(site.store, site.worklist, 1.0, time.time() + 2 * DAY) == 1
    assert site.worklist.count() == 0
    assert [each.study_instance_uid for each in site.worklist.last_read(2)] == [uid]


def test_other_studies_of_a_patient_are_found_by_id_and_issuer(site: ListSite) -> None:
    def of(identifier: str, issuer: str, **more: Any) -> str:
        return site.study(attributes={"PatientID": identifier, "IssuerOfPatientID": issuer, **more})

    mine, same, read = of("4711", "A"), of("4711", "A"), of("4711", "A")
    of("4711", "B"), of("815", "A")
    site.read(read)
    patients = patients_of(site.store)
    wait_for(lambda: patients.catch_up(1.0), "all studies to be known")
    found = others(patients, site.store, mine, 1.0)
    assert {each.decision.study_instance_uid for each in found.studies} == {same, read} and found.complete


def test_a_canary_is_rehearsed_and_seen_by_no_reader(site: ListSite) -> None:
    apart = ListSite(site.store.partition("canary"), worklist_of(site.store.partition("canary"), _client(site)))
    apart.image("1.2.9")
    with apart.store.batch() as batch:
        with apart.store.study_lock("1.2.9"):
            images = [assessment_from(each) for each in apart.store.assessments("1.2.9")]
            decision = decide(images, PriorityPolicy(), time.time())
            apart.store.write_decision("1.2.9", to_record(decision))
        batch.settle()
    apart.worklist.rehearse(decision)
    assert site.worklist.count() == 0 and site.worklist.get("1.2.9") is None


def _client(site: ListSite) -> Any:
    return site.worklist._client if isinstance(site.worklist, IndexedWorklist) else None


def test_orders_agree_with_their_values(site: ListSite) -> None:
    """A column of the table is sorted as the pure value is: neighbours never stand the other way round."""
    drawn(site, 20, seed=8)
    for column in Column:
        studies = site.query().page(ListRequest(100, sort=Sort(column)), NOW).studies
        values = [list_order._VALUES[column](each) for each in studies]
        known = [each for each in values if each not in ("", None)]
        assert all(one <= other for one, other in pairwise(known)), column  # type: ignore[operator]
