"""A site's file of operating points: read, written, and checked against the models."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from itertools import combinations, pairwise
from pathlib import Path

from pydantic import ValidationError

from triage.decision.operating_points import SitePoints, Stratum
from triage.errors import StartError, cause
from triage.model.card import CARD, ModelCard
from triage.model.points_entry import PointEntry
from triage.radiograph.types import View
from triage.runtime.durable import write_durably

POINTS_SCHEMA = 1


class PointsFileError(StartError):
    """A file of operating points that must not be used. The message has every mistake."""


@dataclass(frozen=True)
class PointsFile:
    """The entries of a file, in its order."""

    entries: tuple[PointEntry, ...] = ()

    @property
    def points(self) -> SitePoints:
        """The points that decide."""
        return SitePoints(tuple(point for each in self.entries if (point := each.site_point)))

    def of_models(self, digests: Iterable[str]) -> PointsFile:
        """Return the entries of these models."""
        known = set(digests)
        return PointsFile(tuple(each for each in self.entries if each.model_sha256 in known))

    def find(self, model_sha256: str, finding: str, name: str) -> PointEntry | None:
        """Return the entry of that name; None if there is none."""
        wanted = (model_sha256, finding, name)
        return next((each for each in self.entries if (each.model_sha256, each.finding, each.name) == wanted), None)


def read_points(path: Path) -> PointsFile:
    """Read a file of operating points: JSON if its name ends so, else TOML. Raises PointsFileError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        record: object = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise PointsFileError(f"operating points: {path} cannot be read: {cause(error)}") from error
    except ValueError as error:
        raise PointsFileError(f"operating points: {path} is no {path.suffix[1:].upper() or 'TOML'}: {error}") from error
    except RecursionError:
        raise PointsFileError(f"operating points: {path} is nested too deeply") from None
    entries, faults = _parsed(record)
    faults = faults or [*_clashes(entries), *_gaps(entries)]
    if faults:
        raise PointsFileError(f"operating points: {path}: {'; '.join(faults)}")
    return PointsFile(tuple(entries))


def installed_digests(models: Path) -> frozenset[str]:
    """Return the digests of all models in a folder, in service or not; cards that cannot be read are left out."""
    found: set[str] = set()
    for card in models.glob(f"*/{CARD}"):
        with suppress(OSError, ValueError, AttributeError):
            found.add(str(json.loads(card.read_bytes()).get("model_sha256")))
    return frozenset(found)


def merged(file: PointsFile, entries: Sequence[PointEntry]) -> PointsFile:
    """Return the file with new entries, in the place of those of the same model, finding and stratum.

    Raises PointsFileError if they do not go together with the others.
    """
    new = {(each.model_sha256, each.finding, _stratum_key(each)) for each in entries}
    kept = [each for each in file.entries if (each.model_sha256, each.finding, _stratum_key(each)) not in new]
    together = [*kept, *entries]
    if faults := [*_clashes(together), *_gaps(together)]:
        raise PointsFileError(
            f"operating points: the new points do not go together with those of the file: {'; '.join(faults)}"
        )
    return PointsFile(tuple(together))


def _stratum_key(entry: PointEntry) -> tuple[str, float, float, str]:
    stratum = entry.stratum.stratum
    return stratum.view, stratum.age_from, stratum.age_below, stratum.station.casefold()


def write_points(path: Path, file: PointsFile) -> None:
    """Write a file of operating points as JSON, durably and as a whole; only its owner can read it. Raises OSError."""
    record = {"points_schema": POINTS_SCHEMA, "points": [each.model_dump(mode="json") for each in file.entries]}
    write_durably(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def check_points(file: PointsFile, cards: Mapping[str, ModelCard], path: Path) -> None:
    """Check that each point is of a loaded model, of one of its findings, and of images that it is for.

    Raises:
        PointsFileError: A point would never be used, though a person relies on it.
    """
    by_digest = {card.model_sha256: card for card in cards.values()}
    faults = [fault for each in file.entries for fault in _against_card(each, by_digest.get(each.model_sha256), cards)]
    if faults:
        raise PointsFileError(f"operating points: {path}: {'; '.join(faults)}")


def _parsed(record: object) -> tuple[list[PointEntry], list[str]]:
    if not isinstance(record, dict) or repr(record.get("points_schema")) != repr(POINTS_SCHEMA):
        return [], [f"points_schema must be {POINTS_SCHEMA}: this release reads no other"]
    unknown = sorted(record.keys() - {"points_schema", "points"})
    given = record.get("points")
    if unknown or not isinstance(given, list):
        return [], [f"it has points_schema and a list points, and not {', '.join(unknown) or 'this'}"]
    entries, faults = [], []
    for number, each in enumerate(given, 1):
        try:
            entries.append(PointEntry.model_validate_json(json.dumps(each, default=_iso), strict=True))
        except ValidationError as error:
            faults += [_fault(number, each, problem["loc"], problem["msg"]) for problem in error.errors()]
    return entries, faults


def _iso(moment: object) -> str:
    """Return a date or time of TOML as JSON has it; anything else as text that is no date."""
    return moment.isoformat() if isinstance(moment, date) else str(moment)


def _fault(number: int, entry: object, place: tuple[int | str, ...], message: str) -> str:
    name = entry.get("name") if isinstance(entry, dict) else None
    where = ".".join(map(str, place))
    told = message.removeprefix("Value error, ")
    return f"point {number}{f' ({name})' if isinstance(name, str) else ''}: {f'{where}: ' if where else ''}{told}"


def _clashes(entries: Iterable[PointEntry]) -> Iterator[str]:
    """Yield the pairs of one name, and those of one depth that have images in common."""
    for first, second in combinations(entries, 2):
        if (first.model_sha256, first.finding) != (second.model_sha256, second.finding):
            continue
        if first.name == second.name:
            yield f"two points of {first.finding} are named {first.name}"
        elif _overlap(first.stratum.stratum, second.stratum.stratum):
            yield (
                f"{first.name} ({first.stratum.words}) and {second.name} ({second.stratum.words}) are both for "
                f"the same images of {first.finding}"
            )


def _overlap(first: Stratum, second: Stratum) -> bool:
    return (
        first.depth == second.depth
        and first.view == second.view
        and first.station.casefold() == second.station.casefold()
        and max(first.age_from, second.age_from) < min(first.age_below, second.age_below)
    )


def _gaps(entries: Iterable[PointEntry]) -> Iterator[str]:
    """Yield the ages that no band has between two that one has: patients of a hole are judged by another point."""
    bands: dict[tuple[str, str, str, str], list[PointEntry]] = {}
    for each in entries:
        stratum = each.stratum.stratum
        if stratum.has_ages:
            key = (each.model_sha256, each.finding, stratum.view, stratum.station.casefold())
            bands.setdefault(key, []).append(each)
    for found in bands.values():
        for younger, older in pairwise(sorted(found, key=lambda each: each.stratum.age_from)):
            end = younger.stratum.age_below
            if end is not None and end < older.stratum.age_from:
                yield (
                    f"ages {end:g} to below {older.stratum.age_from:g} are a hole between {younger.name} and "
                    f"{older.name}: close it, or add an entry with inherits"
                )


def _against_card(entry: PointEntry, card: ModelCard | None, cards: Mapping[str, ModelCard]) -> Iterator[str]:
    if card is None:
        known = ", ".join(f"{each.model_id} ({each.model_sha256[:16]})" for each in cards.values())
        named = entry.model or "a model"
        yield f"{entry.name} is of {named} ({entry.model_sha256[:16]}), which is not loaded; loaded are {known}"
        return
    if entry.finding not in {each.name for each in card.findings}:
        yield (
            f"{entry.name} is of the finding {entry.finding}, and {card.model_id} has "
            f"{', '.join(each.name for each in card.findings)}"
        )
    if not _is_for(card, entry.stratum.stratum):
        yield f"{entry.name} ({entry.stratum.words}) is for no image that {card.model_id} is for: {card.covers}"


def _is_for(card: ModelCard, stratum: Stratum) -> bool:
    use = card.intended_use
    last = stratum.age_below if use.age_below is None else min(stratum.age_below, use.age_below)
    return (
        (not stratum.view or card.covers_view(View(stratum.view)))
        and max(stratum.age_from, use.age_from) < last
        and (not stratum.station or card.covers_station(stratum.station))
    )
