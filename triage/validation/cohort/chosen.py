"""PURE: which labelled cases say something of all cases: the column ``chosen_by`` of a manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from triage.adjudication.journal import ChosenBy
from triage.validation.cohort.manifest import ManifestError, Row

CHOSEN_BY = "chosen_by"
SAMPLE_DRAWN, SAMPLE_JUDGED = "sample_drawn", "sample_judged"
"""Columns of the random audit: numbers of studies that were drawn, and of those that are judged."""
REPRESENTATIVE = ("", ChosenBy.RANDOM)
"""A case without an entry was chosen by the cohort's owner, who answers for it."""


def representative(manifest: Path, rows: Sequence[Row]) -> tuple[list[Row], tuple[str, ...]]:
    """Return the rows that may be used for figures of accuracy, and the notes on those left out.

    Cases that were chosen by disagreement, uncertainty, a tie, or by readers who knew the result, are left out: figures
    on them would be those of the hard cases, or of the easy ones. Raises ManifestError if none is left, or for an
    unknown entry.
    """
    known = {"", *ChosenBy}
    for row in rows:
        if (way := row.columns.get(CHOSEN_BY, "")) not in known:
            raise ManifestError(
                f"{manifest}, line {row.line}: {CHOSEN_BY} {way!r} is none of {', '.join(ChosenBy)}, or empty"
            )
    kept = [row for row in rows if row.columns.get(CHOSEN_BY, "") in REPRESENTATIVE]
    left_out = Counter(way for row in rows if (way := row.columns.get(CHOSEN_BY, "")) not in REPRESENTATIVE)
    if left_out and not kept:
        raise ManifestError(
            f"{manifest}: every case was chosen by {', '.join(sorted(left_out))}, which says nothing of all cases: "
            "measure on a random audit (adjudication.random_fraction), or on cases chosen without the result"
        )
    notes = tuple(_note(way, count) for way, count in sorted(left_out.items()))
    return kept, (*notes, *_unblinded(kept), *_incomplete(kept))


def _note(way: str, count: int) -> str:
    return (
        f"{count} image{'' if count == 1 else 's'} left out, chosen by {way}: figures of accuracy on such cases say "
        "nothing of all cases"
    )


def _incomplete(rows: Sequence[Row]) -> tuple[str, ...]:
    numbers = {(row.columns.get(SAMPLE_JUDGED, ""), row.columns.get(SAMPLE_DRAWN, "")) for row in rows}
    return tuple(
        f"only {judged} of {drawn} studies of the random audit are judged: figures on a part may be of the easy ones"
        for judged, drawn in sorted(numbers)
        if judged != drawn
    )


def _unblinded(rows: Sequence[Row]) -> tuple[str, ...]:
    seen = sum(row.columns.get(CHOSEN_BY) == ChosenBy.RANDOM and row.columns.get("blinded") == "no" for row in rows)
    if not seen:
        return ()
    return (f"{seen} labels of the random audit were given with the result in sight: figures may flatter the model",)
