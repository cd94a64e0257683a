"""PURE: the lines of `triage explain` about readers: what was shown to whom and when, and who claimed the workitem."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from triage.worklist.claims import ClaimEntry, ClaimVia
from triage.worklist.shown import Place, ShownResult

_PLACES = {Place.LIST: "in the list", Place.STUDY: "on the study's page", Place.MAP: "the activation map"}
_WAYS = {ClaimVia.PAGE: "on the page", ClaimVia.COMMAND: "triage workitem", ClaimVia.UPS: "another system"}


def shown_to(shown: Iterable[ShownResult], moment: Callable[[float], str]) -> Iterator[str]:
    """Yield a line for each look, oldest first; ``moment`` words a time of POSIX seconds."""
    for each in shown:
        values = {"tag": each.tag, "urgency": each.urgency, "priority": each.priority}
        seen = [" ".join(filter(None, (item, values.get(item, "")))) for item in each.visible]
        silent = ", silent" if each.silent else ""
        yield f"{moment(each.at)}  {each.who} {_PLACES[each.place]}, {_when(each)}{silent}: {', '.join(seen)}"


def claim_lines(claims: Iterable[ClaimEntry], moment: Callable[[float], str]) -> Iterator[str]:
    """Yield a line for each claim and each end of one, oldest first; ``moment`` words a time of POSIX seconds."""
    for each in claims:
        yield f"{moment(each.at)}  {each.act} by {each.who}, {_WAYS[each.via]}" + (each.reason and f": {each.reason}")


def _when(each: ShownResult) -> str:
    if each.own_read:
        return "after the own reading"
    return "after a reading by another" if each.read else "before any reading"
