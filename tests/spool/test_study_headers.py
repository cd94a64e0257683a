"""Headers are read once, and where no lock of their study is held; under it, the study is the one that it is then."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import pytest

from tests.delivery.test_deliverer import Clock, a_deliverer
from tests.support.ports import free_port
from tests.support.studies import a_radiograph, a_study, add_image, settle
from triage.delivery.build import Builder, BuildResult, build_if_changed
from triage.spool.instance import ReceivedInstance
from triage.spool.patient import patient_among
from triage.spool.spool import Spool
from triage.spool.study import read_study, read_study_of_objects, read_study_with, revision
from triage.spool.study_headers import read_headers


class _Watched:
    """A stored object that tells its spool of each reading."""

    def __init__(self, stored: Any, spool: WatchedSpool, instance: ReceivedInstance) -> None:
        self._stored, self._spool, self._instance = stored, spool, instance

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stored, name)

    def open(self, mode: str = "rb") -> BinaryIO:
        self._spool.read(self._instance)
        file: BinaryIO = self._stored.open(mode)
        return file

    def read_bytes(self) -> bytes:
        self._spool.read(self._instance)
        content: bytes = self._stored.read_bytes()
        return content


class WatchedSpool(Spool):
    """A spool that notes the readings of objects, and whether a lock is held; some objects cannot be read."""

    gives = True
    held = False
    before_lock: Callable[[], object] = staticmethod(lambda: None)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.readings: list[tuple[str, bool]] = []
        self.lost: set[str] = set()
        self.asked = 0

    def read(self, instance: ReceivedInstance) -> None:
        self.readings.append((instance.sop_instance_uid, self.held))
        if instance.sop_instance_uid in self.lost:
            raise OSError(errno.ETIMEDOUT, "the volume is not there")

    def stored_object(self, instance: ReceivedInstance) -> Any:
        found = super().stored_object(instance)
        return None if found is None else _Watched(found, self, instance)

    def gives_objects(self) -> bool:
        self.asked += 1
        return self.gives

    @contextmanager
    def study_lock(self, study_instance_uid: str) -> Iterator[None]:
        act, self.before_lock = self.before_lock, lambda: None  # type: ignore[method-assign]
        act()
        with super().study_lock(study_instance_uid):
            self.held = True
            yield
            self.held = False


@pytest.fixture
def watched(spool: Spool) -> WatchedSpool:
    return WatchedSpool.open(spool.root)


def a_study_of(spool: Spool, count: int) -> tuple[str, list[str]]:
    study = "1.2.3"
    added = [add_image(spool, a_radiograph(study, PatientID="P-1")) for _ in range(count)]
    settle(spool, study, "pacs")
    return study, [each.sop_instance_uid for each in added]


def a_builder(spool: Spool) -> Builder:
    deliverer = a_deliverer(spool, free_port(), Clock())
    return Builder(spool, deliverer.outbox, "pacs", deliverer.channel)


def test_an_object_that_cannot_be_read_costs_its_time_once(watched: WatchedSpool) -> None:
    study, (first, lost, last) = a_study_of(watched, 3)
    watched.lost = {lost, last}
    watched.readings.clear()
    found = read_study_of_objects(watched, study)
    assert sorted(uid for uid, _ in watched.readings) == sorted((first, lost, last)) and watched.asked == 1
    assert found is not None
    assert {each.assessment.sop_instance_uid for each in found[1] if each.unread} == {lost, last}


def test_of_a_store_that_gives_nothing_one_object_is_tried(watched: WatchedSpool) -> None:
    study, uids = a_study_of(watched, 3)
    watched.lost, watched.gives = set(uids), False
    watched.readings.clear()
    with pytest.raises(OSError, match="the volume is not there"):
        read_study_of_objects(watched, study)
    assert len(watched.readings) == watched.asked == 1


def test_what_came_since_and_cannot_be_read_is_an_error_or_raised_as_it_is_asked_for(watched: WatchedSpool) -> None:
    study, (uid,) = a_study_of(watched, 1)
    headers = read_headers(watched, study)
    came = add_image(watched, a_radiograph(study))
    watched.lost = {uid, came.sop_instance_uid}
    assert isinstance(headers.if_any(came), OSError)
    with pytest.raises(OSError, match="the volume is not there"):
        headers.of(came)


@pytest.mark.parametrize("lost", [False, True])
def test_a_message_is_built_without_a_reading_under_the_lock(watched: WatchedSpool, lost: bool) -> None:
    study, uids = a_study_of(watched, 2)
    watched.lost = set(uids[:1]) if lost else set()
    watched.readings.clear()
    built = build_if_changed(a_builder(watched), study, Clock()())
    assert built is (BuildResult.UNREAD if lost else BuildResult.BUILT)
    assert sorted(watched.readings) == sorted((uid, False) for uid in uids)


def test_an_object_that_came_before_the_lock_was_had_is_read_under_it_alone(watched: WatchedSpool) -> None:
    study, (uid,) = a_study_of(watched, 1)
    headers = read_headers(watched, study)
    came = add_image(watched, a_radiograph(study, PatientID="P-1")).sop_instance_uid
    settle(watched, study)
    watched.readings.clear()
    with watched.study_lock(study):
        found = read_study_with(headers, study)
    assert found is not None and patient_among(found[1]).patient_id == "P-1"
    assert {each.assessment.sop_instance_uid for each in found[1]} == {uid, came}
    assert watched.readings == [(came, True)]


def test_a_message_is_of_the_study_as_it_is_under_the_lock(watched: WatchedSpool) -> None:
    study, _ = a_study_of(watched, 1)
    builder = a_builder(watched)

    def comes() -> None:
        add_image(watched, a_radiograph(study, PatientID="P-1"))
        settle(watched, study)

    watched.before_lock = comes  # type: ignore[method-assign]
    assert build_if_changed(builder, study, Clock()()) is BuildResult.BUILT
    (record,) = builder.outbox.records(study)
    found = read_study(watched, study)
    assert found is not None and len(found[1]) == 2
    assert record.revision == revision(*found, builder.channel.encoder, "")


def test_of_a_study_that_was_removed_before_the_lock_was_had_nothing_is_built(watched: WatchedSpool) -> None:
    study = a_study(watched, "pacs")
    builder = a_builder(watched)

    def removed() -> None:
        with watched.study_lock(study):
            watched.remove_study(study)

    watched.before_lock = removed  # type: ignore[method-assign]
    assert build_if_changed(builder, study, Clock()()) is BuildResult.NOTHING
    assert builder.outbox.to_be_told(study) == ()
