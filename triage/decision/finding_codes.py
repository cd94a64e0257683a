"""PURE: codes of findings: from a context group of PS3.16 if one has it, else RadLex 4, else our own scheme."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from triage.decision.findings import FindingCode

PRIVATE_SCHEME = "99CXRTRIAGE"
LONGEST_VALUE = 16
"""Characters of a Code Value (0008,0100)."""
_KEPT = 9


@dataclass(frozen=True)
class KnownCode:
    """The code of a finding and its source: a context group of PS3.16, or RadLex."""

    code: FindingCode
    source: str


def _known(value: str, scheme: str, meaning: str, source: str) -> KnownCode:
    return KnownCode(FindingCode(value, scheme, meaning), source)


KNOWN_CODES: Mapping[str, KnownCode] = {
    "atelectasis": _known("RID28493", "RADLEX", "atelectasis", "RadLex 4"),
    "consolidation": _known("RID43255", "RADLEX", "consolidation", "RadLex 4"),
    "edema": _known("19242006", "SCT", "Pulmonary edema", "PS3.16 CID 3700"),
    "effusion": _known("60046008", "SCT", "Pleural effusion", "PS3.16 CID 645"),
    "emphysema": _known("RID4799", "RADLEX", "emphysema", "RadLex 4"),
    "fracture": _known("RID4650", "RADLEX", "fracture", "RadLex 4"),
    "infiltration": _known("112121", "DCM", "Infiltrate", "PS3.16 CID 6104"),
    "lung_opacity": _known("112001", "DCM", "Opacity", "PS3.16 CID 6104"),
    "mass": _known("4147007", "SCT", "Mass", "PS3.16 CID 6104"),
    "nodule": _known("27925004", "SCT", "Nodule", "PS3.16 CID 6104"),
    "pneumonia": _known("RID5350", "RADLEX", "pneumonia", "RadLex 4"),
    "pneumothorax": _known("36118008", "SCT", "Pneumothorax", "PS3.16 CID 6105"),
}
"""By name of the finding in a card. Another name has a code of our own scheme, unless its card states one."""


def code_of(name: str, title: str) -> FindingCode:
    """Return the code of a finding whose card states none."""
    known = KNOWN_CODES.get(name)
    return known.code if known else FindingCode(_private_value(name), PRIVATE_SCHEME, title[:64])


def _private_value(name: str) -> str:
    """Return a Code Value of our own scheme: the name, or its beginning and six digits of its digest."""
    if len(name) <= LONGEST_VALUE:
        return name
    return f"{name[:_KEPT]}_{sha256(name.encode()).hexdigest()[: LONGEST_VALUE - _KEPT - 1]}"
