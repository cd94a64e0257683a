"""The whole of a store: its studies, dead letters, entries, switches; copied again and again until both are equal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass

from triage.spool.moving.entries import site_pairs
from triage.spool.moving.errors import MoveError
from triage.spool.moving.study import MoveTarget, move_study, study_differences
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
    """Copy all that the target lacks, and remove from it what the source has no more.

    The source may be at work meanwhile: what changes behind the copy is found by the next call. ``told`` is called
    after each study. Raises MoveError, OSError.
    """
    counts, target = MoveCounts(), moved.store
    moved.times.installed(source.installation_uid())
    _requeue(source, target)
    for uid in _all_uids(source):
        with source.study_lock(uid) if source.has_study(uid) else nullcontext():
            counts.objects += move_study(source, moved, uid)
        counts.studies += 1
        told(counts)
    counts.dead_letters = _bury(source, target)
    counts.removed = sum(1 for uid in _all_uids(target) if _removed_since(source, target, uid))
    for pair in site_pairs(source, target):
        counts.entries += len(pair.copy())
        for at, name in pair.of_other_times():  # also of one that a move before had copied when it was ended
            moved.times.written(pair.source.place, name, at)
    for ours, theirs in _switches(source, target):
        _set_switches(ours, theirs)
    return counts


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
    for ours_off, theirs_off in _switches(source, target):
        if ours_off.disabled() != theirs_off.disabled():
            yield "the kill switches are not the same"


def _all_uids(store: Store) -> list[str]:
    """Return every study with results, and those of which objects wait or are dead letters alone."""
    dead = (instance for instance, _ in store.dead_letters())
    unfiled = {each.study_instance_uid for objects in (store.waiting(), dead) for each in objects}
    return sorted({*store.study_uids(), *unfiled})


def _requeue(source: Store, target: Store) -> None:
    """Requeue in the target what is no dead letter of the source any more, or one with another record."""
    dead = dict(source.dead_letters())
    for instance, record in list(target.dead_letters()):
        if dead.get(instance) != record:
            target.requeue(instance)


def _bury(source: Store, target: Store) -> int:
    """Bury in the target what is a dead letter of the source, and return their number."""
    dead, buried = dict(source.dead_letters()), dict(target.dead_letters())
    for instance, record in dead.items():
        if instance not in buried and target.waits(instance):
            target.bury(instance, record)
    return len(dead)


def _removed_since(source: Store, target: Store, uid: str) -> bool:
    """Remove a study from the target if retention has removed it from the source, and return whether it did."""
    if source.has_study(uid) or source.is_unfinished(uid):
        return False
    if target.is_unfinished(uid):
        raise MoveError(f"study {uid} waits in {target.name} alone: that store has been in use. Move into an empty one")
    with target.study_lock(uid):
        target.remove_study(uid)
    return True


def _switches(source: Store, target: Store) -> Iterator[tuple[SwitchSet, SwitchSet]]:
    yield source.model_switches, target.model_switches
    yield source.channel_switches, target.channel_switches


def _set_switches(source: SwitchSet, target: SwitchSet) -> None:
    ours, theirs = source.disabled(), target.disabled()
    for name in ours - theirs:
        target.set_disabled(name, True)
    for name in theirs - ours:
        target.set_disabled(name, False)
