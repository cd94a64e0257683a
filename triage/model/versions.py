"""PURE: versions of a model next to each other: which one is in service, and what persons decided about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from triage.model.card import ModelCard
from triage.model.folder_check import ModelRefusedError


class RegistryAct(StrEnum):
    """An act of a person on a version of a model."""

    PROMOTE = "promote"
    RETIRE = "retire"


@dataclass(frozen=True)
class RegistryEntry:
    """One act: on which folder, by whom, when (POSIX seconds), why, and the digest of its weights at that time."""

    act: RegistryAct
    folder: str
    digest: str
    by: str
    at: float
    reason: str


@dataclass(frozen=True)
class RegistryHistory:
    """All acts of a site, the last one last."""

    entries: Sequence[RegistryEntry] = field(default_factory=tuple)

    def last_of(self, folder: str) -> RegistryEntry | None:
        """Return the last act on a folder."""
        return next((each for each in reversed(self.entries) if each.folder == folder), None)

    def is_retired(self, folder: str) -> bool:
        """Return True if the last act on a folder retired it."""
        last = self.last_of(folder)
        return last is not None and last.act is RegistryAct.RETIRE

    def promoted(self, name: str) -> RegistryEntry | None:
        """Return the promotion that is in force for the model ``name``; None if no version was promoted."""
        acts = [each for each in self.entries if name_in(each.folder) == name]
        promotions = [each for each in acts if each.act is RegistryAct.PROMOTE]
        return promotions[-1] if promotions and not self.is_retired(promotions[-1].folder) else None


def name_in(folder: str) -> str:
    """Return the model's name in the name of its folder: NAME, or NAME@VERSION."""
    return folder.partition("@")[0]


def in_service_by_name(
    cards: Mapping[str, ModelCard], shadow: frozenset[str], history: RegistryHistory, named: Iterable[str] = ()
) -> dict[str, str]:
    """Return the folder of each model to load, by the name that it has in service: NAME; in shadow its folder's.

    Args:
        cards: Cards of the installed models, by folder.
        shadow: Folders of models in shadow.
        history: Acts of persons.
        named: Folders that the settings name.

    Raises:
        ModelRefusedError: Two versions could be in service and none was promoted; the promoted one is not installed, or
            has other weights than when it was promoted; a folder that the settings name was retired.
    """
    retired = sorted(folder for folder in cards if history.is_retired(folder))
    if wanted := sorted({*named, *shadow} & set(retired)):
        raise ModelRefusedError(
            f"the settings name {', '.join(wanted)}, which was retired: leave it out, or take it back with "
            "`triage models promote`"
        )
    chosen = {folder: folder for folder in cards if folder in shadow and folder not in retired}
    for name in sorted({name_in(folder) for folder in cards}):
        candidates = [each for each in cards if name_in(each) == name and each not in shadow and each not in retired]
        folder = _one_version(name, candidates, cards, history)
        if folder is None:
            continue
        if name in chosen:
            raise ModelRefusedError(
                f"{name} is in models.shadow while {folder} is in service: rename its folder to "
                f"{name}@{cards[name].version}, so that each has a name of its own"
            )
        chosen[name] = folder
    return dict(sorted(chosen.items()))


def _one_version(
    name: str, candidates: Sequence[str], cards: Mapping[str, ModelCard], history: RegistryHistory
) -> str | None:
    promoted = history.promoted(name)
    if promoted is None:
        if len(candidates) > 1:
            raise ModelRefusedError(
                f"{name} is installed in several versions ({', '.join(sorted(candidates))}), and none was promoted: "
                "`triage models promote FOLDER`, or name the others in models.shadow"
            )
        return candidates[0] if candidates else None
    if promoted.folder not in candidates:
        raise ModelRefusedError(
            f"{promoted.folder} was promoted and is not installed, not in models.names, or in shadow: install it, or "
            "promote another version"
        )
    if cards[promoted.folder].model_sha256 != promoted.digest:
        raise ModelRefusedError(
            f"{promoted.folder} has other weights than when it was promoted (sha256 {promoted.digest[:16]}…): promote "
            "it again after a check"
        )
    return promoted.folder
