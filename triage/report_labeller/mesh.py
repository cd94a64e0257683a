"""Normal or abnormal from a report's MeSH encoding, under one of two definitions.

``strict``: normal if the indexers encoded it as ``normal``, abnormal with any finding, including devices and healed
fractures. ``cardiopulmonary``: as in Tang et al. 2020, findings outside heart and lungs (listed in mesh.toml) leave a
radiograph normal. A report that was not indexed has no label.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

STRICT, CARDIOPULMONARY = "strict", "cardiopulmonary"
DEFINITIONS = (STRICT, CARDIOPULMONARY)


@dataclass(frozen=True)
class MeshRules:
    """The rules of mesh.toml, in lower case."""

    normal: str
    not_indexed: frozenset[str]
    not_a_finding: frozenset[str]
    other: frozenset[str]
    other_with_qualifier: frozenset[tuple[str, str]]
    elsewhere: frozenset[str]
    inside: frozenset[str]
    always_abnormal: frozenset[str]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the rules of a file."""
        rules = tomllib.loads(path.read_text(encoding="utf-8"))
        other, placed = rules["other"], rules["placed"]
        headings = (*other["devices"], *other["bones_and_joints"], *other["outside_heart_and_lungs"])
        pairs = ((heading, each) for heading, qualifiers in other["with_qualifier"].items() for each in qualifiers)
        return cls(
            normal=rules["normal"].lower(),
            not_indexed=_lower(rules["not_indexed"]),
            not_a_finding=_lower(rules["not_a_finding"]),
            other=_lower(headings),
            other_with_qualifier=frozenset((heading.lower(), each.lower()) for heading, each in pairs),
            elsewhere=_lower(placed["elsewhere"]),
            inside=_lower(placed["inside"]),
            always_abnormal=_lower(placed["always_abnormal"]),
        )


@cache
def rules() -> MeshRules:
    """Return the rules of this package."""
    return MeshRules.load(Path(__file__).with_name("mesh.toml"))


def label(mesh: Sequence[str], definition: str, using: MeshRules | None = None) -> int | None:
    """Return 1 for abnormal, 0 for normal, None without a label: not indexed, or an image of poor quality."""
    known = using or rules()
    findings = [_parse(text) for text in mesh]
    seen = [finding for finding in findings if finding[0] not in known.not_indexed | known.not_a_finding]
    if not seen:
        return None
    asserted = [finding for finding in seen if finding[0] != known.normal]
    if definition == STRICT:
        return int(bool(asserted))
    return int(any(is_cardiopulmonary(*finding, known) for finding in asserted))


def is_cardiopulmonary(heading: str, qualifiers: frozenset[str], known: MeshRules) -> bool:
    """Return whether a finding makes a radiograph abnormal under the cardiopulmonary definition."""
    if any((heading, qualifier) in known.other_with_qualifier for qualifier in qualifiers):
        return False
    if heading in known.always_abnormal:
        return True
    if heading in known.other:
        return False
    return not (qualifiers & known.elsewhere) or bool(qualifiers & known.inside)


def _parse(text: str) -> tuple[str, frozenset[str]]:
    heading, *qualifiers = (" ".join(part.split()).lower() for part in text.split("/"))
    return heading, frozenset(qualifiers)


def _lower(words: Sequence[str]) -> frozenset[str]:
    return frozenset(word.lower() for word in words)
