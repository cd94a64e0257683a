"""The whole of a store: its studies, dead letters, entries, switches; copied again and again until both are equal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

from triage.spool.instance import ReceivedInstance
from triage.spool.moving.entries import EntryPair, site_pairs
from triage.spool.moving.errors import MoveError
from triage.spool.moving.notes import MoveNotes
from triage.spool.moving.study import MoveTarget, move_study, study_differences, study_states
from triage.spool.processes import SwitchSet
from triage.spool.store import Store


@dataclass
class MoveCounts:
    """The numbers of what a move has looked at."""

    studies: int = 0
    objects: int = 0
    removed: int = 0
    dead_letters: int = 0
    entries: int = 0


_PROCESSES = ("sweep", "deliver", "reports")
"""Processes of which one leads among all hosts."""


def refuse_at_work(store: Store) -> None:
    """Raise MoveError if workers live on a store, or another process of it does."""
    if store.workers.count()[0] or any(map(store.workers.leader, _PROCESSES)):
        raise MoveError(f"processes work on {store.name}: stop all of them first")


def refuse_connected(store: Store) -> None:
    """Raise MoveError if another process has a store open: a listener would acknowledge into what is left behind."""
    if found := store.workers.connected():
        named = ", ".join(found)
        raise MoveError(f"processes have {store.name} open (host and process ID): {named}. Stop all of them first")


def move(source: Store, moved: MoveTarget, told: Callable[[MoveCounts], None]) -> MoveCounts:
    """Copy all that the target lacks, and remove from it what the source has no more, if a move brought it.

    The source may be at work meanwhile: what changes behind the copy is found by the next call. ``told`` is called
    after each study. Raises MoveError, for a target that was in use or whose move has ended; OSError.
    """
    counts, target, notes = MoveCounts(), moved.store, MoveNotes(moved.store)
    for uid in _gone(source, target):  # before anything is written
        _check_removable(source, target, notes, uid)
    for uid in sorted({each.study_instance_uid for each in _to_requeue(source, target)}):
        notes.check_study(uid, study_states(source, target, uid))
    moved.times.installed(source.installation_uid())
    _requeue(source, target)
    for uid in _all_uids(source):
        counts.objects += _move_study(source, moved, notes, uid)
        counts.studies += 1
        told(counts)
    counts.dead_letters = _bury(source, target)
    for uid in _gone(source, target):
        _remove(source, target, notes, uid)
        counts.removed += 1
    for pair in site_pairs(source, target):
        counts.entries += _copy_place(pair, notes)
        for at, name in pair.of_other_times():  # also of one that a move before had copied when it was ended
            moved.times.written(pair.source.place, name, at)
    for name, ours, theirs in _switches(source, target):
        notes.copy_place(name, partial(_states_of_switches, ours, theirs), partial(_set_switches, ours, theirs))
    return counts


def _move_study(source: Store, moved: MoveTarget, notes: MoveNotes, uid: str) -> int:
    """Copy a study if it is not the same in both stores, and return its number of objects."""
    with source.study_lock(uid) if source.has_study(uid) else nullcontext():
        states = partial(study_states, source, moved.store, uid)
        notes.copy_study(uid, states, partial(move_study, source, moved, uid))
        return len(set(source.objects_of(uid)))


def _copy_place(pair: EntryPair, notes: MoveNotes) -> int:
    """Make the target's entries of a place those of the source, and return the number that were written."""
    written: list[tuple[float, str]] = []
    pair.target.prepare()
    notes.copy_place("/".join(pair.source.place.words), pair.states, lambda: written.extend(pair.copy()))
    return len(written)


def differences(source: Store, target: Store, told: Callable[[int], None]) -> Iterator[str]:
    """Yield in words each difference between two stores at rest, with the bytes of every object compared.

    ``told`` is called with the number of each study.
    """
    if source.installation_uid() != target.installation_uid():
        yield "the UID of the installation is not the same"
    ours, theirs = _all_uids(source), _all_uids(target)
    for uid in sorted({*ours} ^ {*theirs}):
        yield f"study {uid}: in one store alone"
    for number, uid in enumerate(sorted({*ours} & {*theirs}), 1):
        yield from study_differences(source, target, uid, with_bytes=True)
        told(number)
    dead, buried = dict(source.dead_letters()), dict(target.dead_letters())
    for instance in sorted({*dead, *buried}):
        if dead.get(instance) != buried.get(instance):
            yield f"dead letter {instance.key}: not the same"
    for pair in site_pairs(source, target):
        for name in pair.different():
            yield f"{'/'.join((*pair.source.place.words, name))} differs"
        for _, name in pair.of_other_times():
            yield f"{'/'.join((*pair.source.place.words, name))} is of another time"
    for _, ours_off, theirs_off in _switches(source, target):
        if ours_off.disabled() != theirs_off.disabled():
            yield "the kill switches are not the same"


def _all_uids(store: Store) -> list[str]:
    """Return every study with results, and those of which objects wait or are dead letters alone."""
    dead = (instance for instance, _ in store.dead_letters())
    unfiled = {each.study_instance_uid for objects in (store.waiting(), dead) for each in objects}
    return sorted({*store.study_uids(), *unfiled})


def _requeue(source: Store, target: Store) -> None:
    """Requeue in the target what is no dead letter of the source any more, or one with another record."""
    for instance in _to_requeue(source, target):
        target.requeue(instance)


def _to_requeue(source: Store, target: Store) -> list[ReceivedInstance]:
    dead = dict(source.dead_letters())
    return [instance for instance, record in target.dead_letters() if dead.get(instance) != record]


def _bury(source: Store, target: Store) -> int:
    """Bury in the target what is a dead letter of the source, and return their number."""
    dead, buried = dict(source.dead_letters()), dict(target.dead_letters())
    for instance, record in dead.items():
        if instance not in buried and target.waits(instance):
            target.bury(instance, record)
    return len(dead)


def _gone(source: Store, target: Store) -> list[str]:
    """Return the studies of the target that the source does not have."""
    ours = set(_all_uids(source))
    return [uid for uid in _all_uids(target) if uid not in ours and not _has(source, uid)]


def _has(store: Store, uid: str) -> bool:
    return store.has_study(uid) or store.is_unfinished(uid)


def _check_removable(source: Store, target: Store, notes: MoveNotes, uid: str) -> None:
    if target.is_unfinished(uid):
        raise MoveError(f"study {uid} waits in {target.name} alone: that store has been in use. Move into an empty one")
    notes.check_is_ours(uid, study_states(source, target, uid)[1])


def _remove(source: Store, target: Store, notes: MoveNotes, uid: str) -> None:
    """Remove a study from the target that a move brought, and that retention has removed from the source since."""
    _check_removable(source, target, notes, uid)
    with target.study_lock(uid):
        notes.remove_study(uid, study_states(source, target, uid)[1], partial(target.remove_study, uid))


def _switches(source: Store, target: Store) -> Iterator[tuple[str, SwitchSet, SwitchSet]]:
    yield "the kill switches of models", source.model_switches, target.model_switches
    yield "the kill switches of destinations", source.channel_switches, target.channel_switches


def _states_of_switches(source: SwitchSet, target: SwitchSet) -> tuple[str, str]:
    ours, theirs = (json.dumps(sorted(each.disabled())) if each.disabled() else "" for each in (source, target))
    return ours, theirs


def _set_switches(source: SwitchSet, target: SwitchSet) -> None:
    ours, theirs = source.disabled(), target.disabled()
    for name in ours - theirs:
        target.set_disabled(name, True)
    for name in theirs - ours:
        target.set_disabled(name, False)
