"""PURE: what a site states about its images."""

from __future__ import annotations

from dataclasses import dataclass, field

from triage.radiograph.vocabulary import SiteWords


@dataclass(frozen=True)
class EligibilityPolicy:
    """What a site states: senders and descriptions of frontals, where no attribute gives the view; senders of chests,
    where nothing names a part of the body; and words of its modalities.
    """

    frontal_ae_titles: frozenset[str] = frozenset()
    frontal_descriptions: tuple[str, ...] = ()
    chest_ae_titles: frozenset[str] = frozenset()
    words: SiteWords = field(default_factory=SiteWords)
