"""UPS-RS over real sockets: what a worklist client finds, claims, completes, cancels, and what it is refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from tests.delivery.test_deliverer import Clock
from tests.support.lost_objects import LostSpool
from tests.support.redis_server import RedisServer
from tests.support.studies import a_radiograph, a_study, add_image, settle
from tests.support.wait import wait_for
from triage.decision.records import decision_from
from triage.decision.types import Tag
from triage.errors import StartError
from triage.runtime.sockets import listen
from triage.settings.sections.web import WebSettings
from triage.spool.spool import Spool
from triage.spool.study import GIVEN_UP_AFTER_S
from triage.web.api import ups_rs as ups
from triage.web.api.sources import Sources
from triage.web.app import RequestPolicy, client, create_app, known_hosts
from triage.web.auth.setup import AccessSettings
from triage.web.http.serving import server_of
from triage.web.server import ListOptions, RedisAddress, run
from triage.worklist.index import IndexedWorklist
from triage.worklist.reader_acts import Act, acts_of
from triage.worklist.workitem import code
from triage.worklist.workitem_store import Workitems, read_state, workitem_uid

JSON = "application/dicom+json"
MODIFIED = "The Workitem was updated with modifications."
INCONSISTENT = "The submitted request is inconsistent with the state of the UPS Instance."


@contextmanager
def service(redis: RedisServer, spool: Spool, now: Callable[[], float] = time.time) -> Iterator[httpx.Client]:
    """The service, with all studies of the spool on the worklist, and a client."""
    listening = listen("127.0.0.1", 0)
    with listening, client(redis.url, 5.0) as connection:
        worklist = IndexedWorklist(connection)
        worklist.put_all(decision_from(each) for each in spool.decisions())
        worklist.end_building(worklist.begin_building())
        sources = Sources(spool, connection, worklist, 0.0, time.time)
        routes = ups.routes(sources, Workitems(spool, "CXR triage", low=False, now=now))
        server = server_of(create_app(sources, RequestPolicy(known_hosts("127.0.0.1")), routes))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            wait_for(lambda: server.started, "the web server")
            address = f"http://127.0.0.1:{listening.getsockname()[1]}"
            with httpx.Client(base_url=address, trust_env=False, timeout=30, headers={"Accept": JSON}) as asking:
                yield asking
        finally:
            server.should_exit = True
            thread.join()


def data_sets(answer: httpx.Response) -> list[Dataset]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith(JSON)
    return [Dataset.from_json(each) for each in answer.json()]


def studies(answer: httpx.Response) -> list[str]:
    return [each.StudyInstanceUID for each in data_sets(answer)]


def retrieve(ask: httpx.Client, uid: str) -> Dataset:
    (found,) = data_sets(ask.get(f"/workitems/{uid}"))
    return found


def state(ask: httpx.Client, uid: str, wanted: str | None, transaction: str | None) -> httpx.Response:
    content: dict[str, Any] = {}
    if wanted:
        content["00741000"] = {"vr": "CS", "Value": [wanted]}
    if transaction:
        content["00081195"] = {"vr": "UI", "Value": [transaction]}
    return ask.put(f"/workitems/{uid}/state", json=content, headers={"Content-Type": JSON})


def update(ask: httpx.Client, uid: str, content: Dataset) -> httpx.Response:
    return ask.post(f"/workitems/{uid}", json=[content.to_json_dict()], headers={"Content-Type": JSON})


def cancel(ask: httpx.Client, uid: str, request: Dataset | None = None) -> httpx.Response:
    body = None if request is None else [request.to_json_dict()]
    return ask.post(f"/workitems/{uid}/cancelrequest", json=body, headers={"Content-Type": JSON})


def performed(transaction: str) -> Dataset:
    """Return the data set that a reader's system sends before it completes a workitem."""
    item = Dataset()
    item.PerformedStationNameCodeSequence = [code("ROOM1", "L", "Reading room 1")]
    item.PerformedWorkitemCodeSequence = [code("110005", "DCM", "Interpretation")]
    item.PerformedProcedureStepStartDateTime = "20260301081500+0000"
    item.PerformedProcedureStepEndDateTime = "20260301081700+0000"
    content = Dataset()
    content.UnifiedProcedureStepPerformedProcedureSequence = [item]
    content.TransactionUID = transaction
    return content


def discontinued(transaction: str) -> Dataset:
    """Return the data set that a reader's system sends before it cancels a workitem."""
    progress = Dataset()
    progress.ProcedureStepDiscontinuationReasonCodeSequence = [
        code("110514", "DCM", "Incorrect worklist entry selected")
    ]
    content = Dataset()
    content.ProcedureStepProgressInformationSequence = [progress]
    content.TransactionUID = transaction
    return content


def warned(answer: httpx.Response, text: str) -> bool:
    return answer.headers.get("warning") == f"299 cxr-triage: {text}"


def test_a_search_returns_the_reading_order_in_pages(redis_server: RedisServer, spool: Spool):
    normal, abnormal, later = (a_study(spool, tag=tag) for tag in (Tag.NORMAL, Tag.ABNORMAL, Tag.NORMAL))
    with service(redis_server, spool) as ask:
        assert studies(ask.get("/workitems")) == [abnormal, normal, later]
        first = ask.get("/workitems", params={"limit": 2})
        assert studies(first) == [abnormal, normal]
        assert "Additional results can be requested" in first.headers["warning"]
        assert studies(ask.get("/workitems", params={"limit": 2, "offset": 2})) == [later]
        assert ask.get("/workitems", params={"offset": 3}).status_code == 204
        top = data_sets(ask.get("/workitems", params={"limit": 1}))[0]

    assert (top.ScheduledProcedureStepPriority, top.ProcedureStepState) == ("HIGH", "SCHEDULED")
    assert (top.WorklistLabel, top.SOPClassUID) == ("CXR triage", "1.2.840.10008.5.1.4.34.6.1")
    assert top.InputInformationSequence[0].StudyInstanceUID == abnormal
    assert top.ScheduledWorkitemCodeSequence[0].CodeValue == "110005"


def test_a_search_matches_the_usual_keys(redis_server: RedisServer, spool: Spool):
    one = a_study(spool, attributes={"PatientName": "ROE^[R.]", "PatientID": "P-2", "AccessionNumber": "ACC-2"})
    other = a_study(spool, tag=Tag.NORMAL)
    with service(redis_server, spool) as ask:
        for key, value in {
            "ScheduledProcedureStepPriority": "HIGH",
            "00741200": "HIGH",
            "PatientID": "P-2",
            "PatientName": "roe^[*",
            "StudyInstanceUID": one,
            "ReferencedRequestSequence.AccessionNumber": "ACC-2",
            "0040A370.00080050": "A?C*2",
            "SOPInstanceUID": workitem_uid(one, 1),
        }.items():
            assert studies(ask.get("/workitems", params={key: value})) == [one], key
        assert studies(ask.get("/workitems", params={"PatientName": "DOE*"})) == [other]
        assert studies(ask.get("/workitems", params={"ProcedureStepState": "SCHEDULED", "offset": 1})) == [other]
        assert ask.get("/workitems", params={"PatientID": "unknown"}).status_code == 204
        assert studies(ask.get("/workitems", params={"ScheduledProcedureStepStartDateTime": "20200101-"})) == [
            one,
            other,
        ]
        assert ask.get("/workitems", params={"ScheduledProcedureStepStartDateTime": "-20200101"}).status_code == 204
        for nonsense in ({"Colour": "red"}, {"limit": "0"}, {"offset": "-1"}, {"00101010": "050Y"}):
            assert ask.get("/workitems", params=nonsense).status_code == 400
        assert ask.get("/workitems", headers={"Accept": "multipart/related"}).status_code == 406


def test_of_several_accession_numbers_a_workitem_has_the_first(redis_server: RedisServer, spool: Spool):
    several = a_study(spool, accession_number="ACC-8\\ACC-9")
    a_study(spool)
    with service(redis_server, spool) as ask:
        found = ask.get("/workitems", params={"ReferencedRequestSequence.AccessionNumber": "ACC-8"})
    (workitem,) = data_sets(found)

    assert studies(found) == [several]
    assert workitem.ReferencedRequestSequence[0].AccessionNumber == "ACC-8"


def test_a_workitem_is_claimed_performed_and_completed(redis_server: RedisServer, spool: Spool):
    study = a_study(spool)
    uid, transaction = workitem_uid(study, 1), str(generate_uid())
    with service(redis_server, spool) as ask:
        assert state(ask, uid, "IN PROGRESS", transaction).status_code == 200
        claimed = retrieve(ask, uid)
        refused = state(ask, uid, "COMPLETED", transaction)
        assert refused.status_code == 409, "the final state requirements are not met"
        updated = update(ask, uid, performed(transaction))
        assert (updated.status_code, warned(updated, MODIFIED)) == (200, True), "it said nothing of output"
        assert state(ask, uid, "COMPLETED", transaction).status_code == 200
        again = state(ask, uid, "COMPLETED", transaction)
        found = studies(ask.get("/workitems", params={"ProcedureStepState": "COMPLETED"}))
    with service(redis_server, spool) as ask:  # started anew
        completed = retrieve(ask, uid)

    assert claimed.ProcedureStepState == "IN PROGRESS"
    assert "TransactionUID" not in claimed
    assert (again.status_code, warned(again, "The UPS is already in the requested state of COMPLETED.")) == (200, True)
    assert (found, completed.ProcedureStepState) == ([study], "COMPLETED")
    (item,) = completed.UnifiedProcedureStepPerformedProcedureSequence
    assert len(item.OutputInformationSequence) == 0


def listed(ask: httpx.Client) -> list[str]:
    return [each["study_instance_uid"] for each in ask.get("/api/worklist").json()["entries"]]


def complete(ask: httpx.Client, uid: str, transaction: str, name: str = "") -> httpx.Response:
    content = performed(transaction)
    if name:
        person = Dataset()
        person.HumanPerformerCodeSequence = []
        person.HumanPerformerName = name
        content.UnifiedProcedureStepPerformedProcedureSequence[0].ActualHumanPerformersSequence = [person]
    assert state(ask, uid, "IN PROGRESS", transaction).status_code == 200
    assert update(ask, uid, content).status_code == 200
    return state(ask, uid, "COMPLETED", transaction)


def test_a_study_leaves_the_list_when_its_workitem_is_completed_and_not_when_it_is_canceled(
    redis_server: RedisServer, spool: Spool
):
    study, canceled, dropped = (a_study(spool, tag=Tag.NORMAL) for _ in range(3))
    uid, transaction = workitem_uid(study, 1), str(generate_uid())
    with service(redis_server, spool) as ask:
        assert cancel(ask, workitem_uid(canceled, 1)).status_code == 202
        state(ask, workitem_uid(dropped, 1), "IN PROGRESS", transaction)
        state(ask, workitem_uid(dropped, 1), "CANCELED", transaction)
        assert complete(ask, uid, transaction, "Lee^Ann").status_code == 200
        assert listed(ask) == [canceled, dropped]
        assert state(ask, uid, "COMPLETED", transaction).status_code == 200
        found = studies(ask.get("/workitems", params={"ProcedureStepState": "COMPLETED"}))
        assert (found, studies(ask.get("/workitems"))) == ([study], [canceled, dropped])

    (step,) = acts_of(spool, study)
    assert (step.act, step.who, step.through, step.source) == (Act.READ, "Lee Ann", "ups", uid)
    assert acts_of(spool, canceled) == acts_of(spool, dropped) == []


def test_a_raise_after_the_end_lists_the_study_again(redis_server: RedisServer, spool: Spool):
    study, transaction = a_study(spool, tag=Tag.NORMAL), str(generate_uid())
    with service(redis_server, spool) as ask:
        complete(ask, workitem_uid(study, 1), transaction)
        assert listed(ask) == []
    add_image(spool, a_radiograph(study), tag=Tag.ABNORMAL, probability=0.9)
    settle(spool, study)
    with service(redis_server, spool) as ask:
        assert listed(ask) == [study]
        assert state(ask, workitem_uid(study, 1), "COMPLETED", transaction).status_code == 200
        assert listed(ask) == [study]
        assert complete(ask, workitem_uid(study, 2), str(generate_uid())).status_code == 200
        assert listed(ask) == []


def test_what_a_change_of_state_is_refused_with(redis_server: RedisServer, spool: Spool):
    """PS3.4 Table CC.1.1-2, row by row, in the words of PS3.18 11.7.3."""
    uid, mine, other = workitem_uid(a_study(spool), 1), str(generate_uid()), str(generate_uid())
    incorrect = "The Transaction UID is incorrect."
    with service(redis_server, spool) as ask:

        def refused(wanted: str | None, transaction: str | None, status: int, text: str) -> None:
            answer = state(ask, uid, wanted, transaction)
            assert (answer.status_code, warned(answer, text)) == (status, True), (wanted, answer.text)

        refused("IN PROGRESS", None, 400, "The Transaction UID is missing.")
        refused("SCHEDULED", mine, 409, INCONSISTENT)
        refused("PAUSED", mine, 400, INCONSISTENT)
        refused(None, mine, 400, INCONSISTENT)
        refused("COMPLETED", mine, 409, INCONSISTENT)
        refused("CANCELED", mine, 409, INCONSISTENT)
        assert state(ask, uid, "IN PROGRESS", mine).status_code == 200
        refused("IN PROGRESS", other, 400, incorrect)
        refused("IN PROGRESS", mine, 409, INCONSISTENT)
        refused("COMPLETED", other, 400, incorrect)
        refused("CANCELED", other, 400, incorrect)
        refused("CANCELED", mine, 409, INCONSISTENT)
        assert update(ask, uid, discontinued(mine)).status_code == 200
        assert state(ask, uid, "CANCELED", mine).status_code == 200
        refused("IN PROGRESS", mine, 409, INCONSISTENT)
        refused("COMPLETED", mine, 409, INCONSISTENT)
        refused("IN PROGRESS", other, 400, incorrect)
        again = state(ask, uid, "CANCELED", mine)
        assert warned(again, "The UPS is already in the requested state of CANCELED.")
        assert state(ask, "1.2.3", "IN PROGRESS", mine).status_code == 404
        assert ask.get("/workitems/1.2.3").status_code == 404
        (progress,) = retrieve(ask, uid).ProcedureStepProgressInformationSequence

    assert progress.ProcedureStepCancellationDateTime, "the manager fills it"
    assert progress.ProcedureStepDiscontinuationReasonCodeSequence[0].CodeValue == "110514"


@pytest.mark.parametrize(
    "missing",
    [
        "PerformedStationNameCodeSequence",
        "PerformedWorkitemCodeSequence",
        "PerformedProcedureStepStartDateTime",
        "PerformedProcedureStepEndDateTime",
    ],
)
def test_what_was_performed_has_to_be_said_before_completed(redis_server: RedisServer, spool: Spool, missing: str):
    uid = workitem_uid(a_study(spool), 1)
    with service(redis_server, spool) as ask:
        state(ask, uid, "IN PROGRESS", "1.2.3")
        lacking, empty = performed("1.2.3"), performed("1.2.3")
        del lacking.UnifiedProcedureStepPerformedProcedureSequence[0][missing]
        assert update(ask, uid, lacking).status_code == 200
        assert warned(state(ask, uid, "COMPLETED", "1.2.3"), INCONSISTENT)
        item = empty.UnifiedProcedureStepPerformedProcedureSequence[0]
        item[missing].value = [Dataset()] if missing.endswith("Sequence") else None  # an item without a code
        assert update(ask, uid, empty).status_code == 200
        assert warned(state(ask, uid, "COMPLETED", "1.2.3"), INCONSISTENT)
        assert retrieve(ask, uid).ProcedureStepState == "IN PROGRESS"
        update(ask, uid, performed("1.2.3"))
        assert state(ask, uid, "COMPLETED", "1.2.3").status_code == 200


def test_of_two_who_claim_at_once_one_gets_it(redis_server: RedisServer, spool: Spool):
    study = a_study(spool)
    uid = workitem_uid(study, 1)
    answers: dict[str, int] = {}
    with service(redis_server, spool) as ask:

        def claim(transaction: str) -> None:
            answers[transaction] = state(ask, uid, "IN PROGRESS", transaction).status_code

        threads = [threading.Thread(target=claim, args=(f"1.2.{number}",)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sorted(answers.values()) == [200, *[400] * 7]
    assert answers[read_state(spool, study).transaction_uid] == 200


def test_an_update_needs_the_owner_and_changes_only_what_is_theirs(redis_server: RedisServer, spool: Spool):
    uid, mine = workitem_uid(a_study(spool), 1), str(generate_uid())
    priority, progress, optional = Dataset(), Dataset(), Dataset()
    optional.MedicalAlerts = ["latex"]
    priority.ScheduledProcedureStepPriority = "LOW"
    progress.ExpectedCompletionDateTime = "20260301090000+0000"
    with service(redis_server, spool) as ask:
        answer = update(ask, uid, priority)
        assert (answer.status_code, warned(answer, MODIFIED)) == (200, True)
        answer = update(ask, uid, optional)
        assert (answer.status_code, warned(answer, "Requested optional Attributes are not supported.")) == (200, True)
        assert update(ask, uid, progress).status_code == 200
        assert update(ask, uid, performed(mine)).status_code == 409
        state(ask, uid, "IN PROGRESS", mine)
        assert warned(update(ask, uid, progress), "The Transaction UID is missing.")
        assert warned(update(ask, uid, performed("1.2.3")), "The Transaction UID is incorrect.")
        in_address = ask.post(f"/workitems/{uid}?{mine}", json=progress.to_json_dict(), headers={"Content-Type": JSON})
        assert in_address.status_code == 200
        with_state = performed(mine)
        with_state.ProcedureStepState = "COMPLETED"
        assert update(ask, uid, with_state).status_code == 400
        update(ask, uid, discontinued(mine))
        assert state(ask, uid, "CANCELED", mine).status_code == 200
        assert update(ask, uid, performed(mine)).status_code == 400
        found = retrieve(ask, uid)

    assert found.ScheduledProcedureStepPriority == "HIGH"
    assert found.ExpectedCompletionDateTime == "20260301090000+0000"


@pytest.mark.parametrize(
    "content",
    [
        {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "ROE^JANE"}]}},
        {"0040A370": {"vr": "SQ", "Value": [{"00080050": {"vr": "SH", "Value": ["OTHER"]}}]}},
        {"00404025": {"vr": "LO", "Value": ["a station"]}},
        {"00741216": {"vr": "SQ", "Value": [{}, {}]}},
        {"00741002": {"vr": "SQ", "Value": [{}, {}]}},
    ],
)
def test_what_may_not_be_set_is_refused_and_changes_nothing(
    redis_server: RedisServer, spool: Spool, content: dict[str, Any]
):
    study = a_study(spool)
    with service(redis_server, spool) as ask:
        answer = update(ask, workitem_uid(study, 1), Dataset.from_json(content))

    assert answer.status_code == 400
    assert read_state(spool, study).attributes == {}


def test_a_request_to_cancel_says_why(redis_server: RedisServer, spool: Spool):
    with_reason, without = workitem_uid(a_study(spool), 1), workitem_uid(a_study(spool), 1)
    request = Dataset()
    request.ReasonForCancellation = "read elsewhere"
    request.ProcedureStepDiscontinuationReasonCodeSequence = [
        code("110514", "DCM", "Incorrect worklist entry selected")
    ]
    request.ContactURI, request.ContactDisplayName = "tel:+123", "the desk"
    with service(redis_server, spool) as ask:
        assert cancel(ask, with_reason, request).status_code == 202
        assert cancel(ask, without).status_code == 202
        (said,) = retrieve(ask, with_reason).ProcedureStepProgressInformationSequence
        (unsaid,) = retrieve(ask, without).ProcedureStepProgressInformationSequence

    assert said.ReasonForCancellation == "read elsewhere"
    assert said.ProcedureStepDiscontinuationReasonCodeSequence[0].CodeValue == "110514"
    assert said.ProcedureStepCommunicationsURISequence[0].ContactURI == "tel:+123"
    assert unsaid.ProcedureStepCancellationDateTime
    assert unsaid.ProcedureStepDiscontinuationReasonCodeSequence[0].CodeValue == "110513"


def test_subscribing_is_refused_because_there_are_no_event_reports(redis_server: RedisServer, spool: Spool):
    uid = workitem_uid(a_study(spool), 1)
    with service(redis_server, spool) as ask:
        for path in (
            f"/workitems/{uid}/subscribers/READER",
            "/workitems/1.2.840.10008.5.1.4.34.5/subscribers/R/suspend",
        ):
            answer = ask.post(path, headers={"Content-Type": JSON})
            assert (answer.status_code, warned(answer, "The origin server does not support event reports.")) == (
                403,
                True,
            )


def test_a_request_to_cancel(redis_server: RedisServer, spool: Spool):
    waiting, claimed = workitem_uid(a_study(spool), 1), workitem_uid(a_study(spool), 1)
    with service(redis_server, spool) as ask:
        assert cancel(ask, waiting).status_code == 202
        assert retrieve(ask, waiting).ProcedureStepState == "CANCELED"
        again = cancel(ask, waiting)
        assert (again.status_code, warned(again, "The UPS is already in the requested state of CANCELED.")) == (
            202,
            True,
        )
        state(ask, claimed, "IN PROGRESS", "1.2.3")
        refused = cancel(ask, claimed)
        assert (refused.status_code, warned(refused, "The performer cannot be contacted.")) == (409, True)
        update(ask, claimed, performed("1.2.3"))
        state(ask, claimed, "COMPLETED", "1.2.3")
        assert cancel(ask, claimed).status_code == 409
        assert cancel(ask, "1.2.3").status_code == 404


def test_a_raise_after_the_end_is_a_new_workitem_and_the_old_one_stays(redis_server: RedisServer, spool: Spool):
    study = a_study(spool, tag=Tag.NORMAL)
    first, second = workitem_uid(study, 1), workitem_uid(study, 2)
    with service(redis_server, spool) as ask:
        cancel(ask, first)
        assert ask.get(f"/workitems/{second}").status_code == 404
        add_image(spool, a_radiograph(study), tag=Tag.ABNORMAL, probability=0.9)
        settle(spool, study)
        (found,) = data_sets(ask.get("/workitems"))
        assert (found.SOPInstanceUID, found.ProcedureStepState) == (second, "SCHEDULED")
        assert found.ScheduledProcedureStepPriority == "HIGH"
        assert state(ask, second, "IN PROGRESS", "1.2.3").status_code == 200
        assert state(ask, first, "IN PROGRESS", "1.2.3").status_code == 400, "it has no owner"
        assert retrieve(ask, first).ProcedureStepState == "CANCELED"
        assert retrieve(ask, second).ProcedureStepState == "IN PROGRESS"


@pytest.mark.parametrize(
    "body", [b"", b"nonsense", b"[]", b"[{}, {}]", b"7", b'{"00741000": 1}', b'{"x": {}}', b"[" * 9000]
)
def test_nonsense_is_a_bad_request(redis_server: RedisServer, spool: Spool, body: bytes):
    study = a_study(spool)
    with service(redis_server, spool) as ask:
        path = f"/workitems/{workitem_uid(study, 1)}"
        assert ask.put(f"{path}/state", content=body, headers={"Content-Type": JSON}).status_code == 400
        assert ask.put(f"{path}/state", content=body, headers={"Content-Type": "text/plain"}).status_code == 415
        assert ask.post(path, content=b" " * 1100000, headers={"Content-Type": JSON}).status_code == 413

    assert read_state(spool, study).state == "SCHEDULED"


def test_no_workitem_is_without_its_patient_while_the_images_are_away(redis_server: RedisServer, spool: Spool):
    lost, clock = LostSpool.open(spool.root), Clock()
    study, other = a_study(lost), a_study(lost)
    with service(redis_server, lost, clock) as ask:
        assert retrieve(ask, workitem_uid(study, 1)).PatientID == "P-1"
        lost.lost = lost.away = True
        for address in (f"/workitems/{workitem_uid(study, 1)}", "/workitems"):
            assert ask.get(address).status_code == 503
        lost.lost = lost.away = False

        lost.lost_studies = frozenset({study})  # the store gives others
        answer = ask.get(f"/workitems/{workitem_uid(study, 1)}")
        assert answer.status_code == 503 and study in answer.text and answer.headers["retry-after"]
        found = ask.get("/workitems")
        assert studies(found) == [other] and "cannot be read now" in found.headers["warning"]
        assert "cannot be read now" in ask.get("/workitems", params={"StudyInstanceUID": study}).headers["warning"]
        clock.at += GIVEN_UP_AFTER_S + 1.0  # it may be lost for good: it is found, without its patient
        assert not retrieve(ask, workitem_uid(study, 1)).PatientID

        lost.lost_studies = frozenset()
        assert retrieve(ask, workitem_uid(study, 1)).PatientID == "P-1"
        assert sorted(studies(ask.get("/workitems"))) == sorted([study, other])


def test_workitems_are_not_served_where_anybody_could_ask_for_them(spool: Spool) -> None:
    settings = WebSettings(host="0.0.0.0", port=0, ups=True)
    with pytest.raises(StartError, match=r"sign_in\.method"):
        run(settings, spool, RedisAddress("unix:///nowhere", 1.0), ListOptions(), AccessSettings())
