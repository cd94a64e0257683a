"""Notes of a move in its target: what it brought, so that nothing else is changed or removed there (docs/adr/0100).

A target that has gone live has studies, messages and acts of its own. So each study and each place is noted as the move
left it, and what was changed since, or came in another way, is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from triage.spool.entries import Entries
from triage.spool.moving.errors import MoveError
from triage.spool.store import Store

MOVING = "moving"
"""The place of the notes in a target."""
_STUDIES, _PLACES, _FINISHED = "studies", "places", "finished.json"
_BEGUN, _REMOVING = b"begun", b"removing "


class MoveNotes:
    """The notes in one target: for each study and each place a digest of what the move left there.

    It is ``begun`` while the move writes: a crash may have left a part, which the next call completes. It is
    ``removing`` and the digest while the move removes, which a store does as a whole or not at all.
    """

    def __init__(self, target: Store) -> None:
        """Make their places. Raises MoveError for a target whose move has ended, OSError."""
        self._name = target.name
        if (ended := ended_at(target)) is not None:
            raise MoveError(
                f"{self._name} was filled by a move that ended with --finish on {ended}, and may have received studies "
                "of its own since: nothing is copied into it any more. Move into an empty store"
            )
        for words in ((MOVING,), (MOVING, _STUDIES), (MOVING, _PLACES)):
            target.entries(*words).prepare()
        self._studies, self._places = target.entries(MOVING, _STUDIES), target.entries(MOVING, _PLACES)

    def copy_study(self, uid: str, states: Callable[[], tuple[str, str]], copy: Callable[[], object]) -> None:
        """Call ``copy`` unless both stores have the same of a study; see ``_follow``. Raises MoveError."""
        self._follow(self._studies, uid, f"study {uid}", states, copy)

    def copy_place(self, name: str, states: Callable[[], tuple[str, str]], copy: Callable[[], object]) -> None:
        """Call ``copy`` unless both stores have the same in a place; see ``_follow``. Raises MoveError."""
        self._follow(self._places, name.replace("/", "+"), name, states, copy)

    def check_study(self, uid: str, states: tuple[str, str]) -> None:
        """Raise MoveError unless a study that both stores may have is the same, or as the move left it."""
        ours, theirs = states
        if ours != theirs:
            _check(_noted(self._studies, uid), theirs, self._refusal(f"study {uid}"))

    def check_is_ours(self, uid: str, state: str) -> None:
        """Raise MoveError unless a study, which is in the target alone, is there as the move left it."""
        if _noted(self._studies, uid) not in (state.encode(), _REMOVING + state.encode()):
            raise self._refusal(f"study {uid}, which the source does not have,")

    def remove_study(self, uid: str, state: str, remove: Callable[[], None]) -> None:
        """Call ``remove``, and forget a study that the source has no more. Raises as ``check_is_ours``."""
        self.check_is_ours(uid, state)
        self._studies.put(uid, _REMOVING + state.encode())
        remove()
        self._studies.remove(uid)

    def _follow(
        self,
        notes: Entries,
        name: str,
        described: str,
        states: Callable[[], tuple[str, str]],
        copy: Callable[[], object],
    ) -> None:
        """Have ``copy`` make the target's equal to the source's, and note it, unless it is.

        ``states`` returns digests of the source's and the target's, empty for nothing. Raises MoveError if the target's
        is neither as the move left it nor as the source's.
        """
        noted, (ours, theirs) = _noted(notes, name), states()
        if noted != _BEGUN and ours == theirs:  # also what came into both in another way: it stays unnoted
            return
        _check(noted, theirs, self._refusal(described))
        notes.put(name, _BEGUN)
        copy()
        notes.put(name, states()[1], durable=False)

    def _refusal(self, described: str) -> MoveError:
        return MoveError(
            f"{described} was written in {self._name} by another than this move: that store has been in use, and what "
            "is in it stays. Move into an empty one"
        )


def end(target: Store) -> None:
    """Note that a move into a store has ended: it is a store of its own now. Raises OSError."""
    for kind in (_STUDIES, _PLACES):
        target.entries(MOVING, kind).clear()
    at = datetime.now(UTC).isoformat(timespec="seconds")
    target.entries(MOVING).put(_FINISHED, json.dumps({"at": at}))


def ended_at(target: Store) -> str | None:
    """Return when a move into a store ended, in words; None if none has. Raises OSError."""
    try:
        noted = target.entries(MOVING).get(_FINISHED)
    except FileNotFoundError:
        return None
    try:
        return str(json.loads(noted)["at"])
    except (ValueError, KeyError, TypeError):
        return "an unknown day"


def _check(noted: bytes, state: str, refusal: MoveError) -> None:
    """Raise ``refusal`` unless what is in the target was left so by the move."""
    is_removed = noted.startswith(_REMOVING) and not state  # a crash came before the note was forgotten
    if not (is_removed or noted in (_BEGUN, state.encode())):
        raise refusal


def _noted(notes: Entries, name: str) -> bytes:
    try:
        return notes.get(name)
    except FileNotFoundError:
        return b""
