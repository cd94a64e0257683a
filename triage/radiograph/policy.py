"""PURE: statements of a site about its images."""

from __future__ import annotations

from dataclasses import dataclass, field

from triage.radiograph.vocabulary import SiteWords


@dataclass(frozen=True)
class EligibilityPolicy:
    """Rules of a site.

    Attributes:
        frontal_ae_titles: Senders of frontals, for images in which no attribute states the view.
        frontal_descriptions: Patterns of descriptions of frontals, for the same.
        chest_ae_titles: Senders of chests, for images in which no attribute names a part of the body.
        words: Words of its modalities.
        rejection_ae_titles: Senders whose rejection notes count; empty: those of every sender do.
    """

    frontal_ae_titles: frozenset[str] = frozenset()
    frontal_descriptions: tuple[str, ...] = ()
    chest_ae_titles: frozenset[str] = frozenset()
    words: SiteWords = field(default_factory=SiteWords)
    rejection_ae_titles: frozenset[str] = frozenset()
