"""One study: its objects, assessments, decisions and entries, copied as far as the target lacks them."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from triage.decision.records import Record
from triage.spool.instance import ReceivedInstance
from triage.spool.moving.backdating import Backdating, is_same_time
from triage.spool.moving.entries import study_pairs
from triage.spool.moving.errors import MoveError
from triage.spool.store import Store


@dataclass(frozen=True)
class MoveTarget:
    """The store that is filled, and the setting of times in it."""

    store: Store
    times: Backdating


def move_study(source: Store, moved: MoveTarget, uid: str) -> int:
    """Copy what the target lacks of a study, and return the number of objects. Hold the source's lock of it.

    May be repeated, also after a crash in between and after changes in the source. Raises MoveError for a study that
    the target has otherwise; OSError.
    """
    objects = sorted(set(source.objects_of(uid)))
    if others := set(moved.store.objects_of(uid)).difference(objects):  # objects go with their study alone
        raise MoveError(
            f"study {uid} has {len(others)} objects in {moved.store.name} that are not in {source.name}: that store "
            "has been in use. Move into an empty one"
        )
    for instance in objects:
        if moved.store.stored_object(instance) is None:
            _copy_object(source, moved, instance)
        _set_received(source, moved, instance)  # also of one that is there: a crash may have come in between
    if source.has_study(uid):  # not of an object alone that waits
        _write_results(source, moved, uid, objects)
    return len(objects)


def study_states(source: Store, target: Store, uid: str) -> tuple[str, str]:
    """Return digests of a study's objects (without their bytes), findings and entries in both stores; empty for none.

    Raises OSError.
    """
    entries = [pair.states() for pair in study_pairs(source, target, uid)]
    ours, theirs = zip(*entries, strict=True)
    return _state(source, uid, ours), _state(target, uid, theirs)


def _state(store: Store, uid: str, entries: Sequence[str]) -> str:
    objects = [[each.key, store.is_filed(each)] for each in sorted(set(store.objects_of(uid)))]
    found = [objects, store.assessments(uid), store.history(uid), [each for each in entries if each]]
    return sha256(json.dumps([found, *entries], sort_keys=True).encode()).hexdigest() if any(found) else ""


def _write_results(source: Store, moved: MoveTarget, uid: str, objects: Sequence[ReceivedInstance]) -> None:
    target = moved.store
    with target.batch() as batch:
        with target.study_lock(uid):
            _copy_results(source, target, uid)
        batch.settle()
        for instance in objects:
            if source.is_filed(instance) and not target.is_filed(instance):
                batch.file(instance)
    with target.study_lock(uid):
        for instance in objects:
            if target.is_filed(instance) and not source.is_filed(instance):  # a recall took it back since
                target.take_back(instance)
        for pair in study_pairs(source, target, uid):
            pair.copy()
    # Behind the lock: the times may be set in a session of their own.
    moved.times.decided(uid, _decided_at(source, uid), source.touched(uid))


def _decided_at(store: Store, uid: str) -> float | None:
    return store.decided_at(uid) if store.decision(uid) is not None else None


def study_differences(source: Store, target: Store, uid: str, *, with_bytes: bool) -> Iterator[str]:
    """Yield in words what of a study is not the same. ``with_bytes``: compare the digests of every object."""
    objects = set(source.objects_of(uid))
    if objects != set(target.objects_of(uid)):
        yield f"study {uid}: not the same objects"
    for instance in sorted(objects):
        yield from _object_differences(source, target, instance, with_bytes)
    if _by_instance(source, uid) != _by_instance(target, uid):
        yield f"study {uid}: not the same assessments"
    if source.history(uid) != target.history(uid):
        yield f"study {uid}: not the same decisions"
    elif not is_same_time(_decided_at(source, uid) or 0.0, _decided_at(target, uid) or 0.0):
        yield f"study {uid}: not decided at the same time"
    for pair in study_pairs(source, target, uid):
        for name in pair.different():
            yield f"study {uid}: {'/'.join((*pair.source.place.words, name))} differs"


def _object_differences(source: Store, target: Store, instance: ReceivedInstance, with_bytes: bool) -> Iterator[str]:
    ours, theirs = source.stored_object(instance), target.stored_object(instance)
    if ours is None or theirs is None:
        yield f"object {instance.key}: not in both"
    elif ours.size() != theirs.size():
        yield f"object {instance.key}: not of the same size"
    elif with_bytes and not _same_bytes(source, target, instance):
        yield f"object {instance.key}: other bytes"
    elif not is_same_time(ours.received_at(), theirs.received_at()):
        yield f"object {instance.key}: not received at the same time"
    if source.is_filed(instance) != target.is_filed(instance):
        yield f"object {instance.key}: tagged in one store alone"


def _same_bytes(source: Store, target: Store, instance: ReceivedInstance) -> bool:
    try:
        return digest_of(source, instance) == digest_of(target, instance)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return False  # a store that gives out other bytes than were acknowledged says so


def digest_of(store: Store, instance: ReceivedInstance) -> bytes:
    """Return the SHA-256 of an object's bytes. Raises FileNotFoundError, OSError."""
    if (stored := store.stored_object(instance)) is None:
        raise FileNotFoundError(instance.key)
    return sha256(stored.read_bytes()).digest()


def _copy_object(source: Store, moved: MoveTarget, instance: ReceivedInstance) -> None:
    if (stored := source.stored_object(instance)) is None:
        raise FileNotFoundError(instance.key)
    upload = moved.store.begin_upload()
    try:
        upload.write(memoryview(stored.read_bytes()))
        moved.store.keep(upload, instance)
    finally:
        upload.discard()


def _set_received(source: Store, moved: MoveTarget, instance: ReceivedInstance) -> None:
    ours, theirs = source.stored_object(instance), moved.store.stored_object(instance)
    if ours is not None and theirs is not None and not is_same_time(ours.received_at(), theirs.received_at()):
        moved.times.received(instance, ours.received_at())


def _copy_results(source: Store, target: Store, uid: str) -> None:
    """Write the assessments and decisions that the target lacks. Hold the target's lock of the study."""
    there = _by_instance(target, uid)
    for instance, assessment in _by_instance(source, uid).items():
        if there.get(instance) != assessment:
            target.write_assessment(instance, assessment)
    ours, theirs = source.history(uid), target.history(uid)
    if ours[: len(theirs)] != theirs:
        raise MoveError(
            f"study {uid} has other decisions in {target.name}: that store has been in use. Move into an empty one"
        )
    for decision in ours[len(theirs) :]:
        target.write_decision(uid, decision)


def _by_instance(store: Store, uid: str) -> dict[ReceivedInstance, Record]:
    return {
        ReceivedInstance(uid, str(each["sop_instance_uid"]), str(each["content_digest"])): each
        for each in store.assessments(uid)
    }
