"""PURE: a rejection note: a Key Object Selection that says of images of its study that they must not be used.

IHE Radiology TF, Imaging Object Change Management (IOCM), RAD-66; document titles of PS3.16 CID 7010.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

QUALITY, PATIENT_SAFETY, WRONG_ENTRY, EXPIRED = "113001", "113037", "113038", "113039"

TITLES = {
    QUALITY: "Rejected for Quality Reasons",
    PATIENT_SAFETY: "Rejected for Patient Safety Reasons",
    WRONG_ENTRY: "Incorrect Modality Worklist Entry",
    EXPIRED: "Data Retention Policy Expired",
}
"""Code Value (scheme DCM) and meaning of the titles that reject."""

WRONG = frozenset({PATIENT_SAFETY, WRONG_ENTRY})
"""Titles by which an image is wrong: it may be another patient's. What was said because of it is wrong too."""


@dataclass(frozen=True)
class RejectionNote:
    """Content of one rejection note.

    Attributes:
        code: Code Value of its title; empty if the title cannot be read.
        images: SOP Instance UIDs (0008,1155) of its own study that it names.
        refused: The reason why it takes nothing out of the decision; empty if it counts.
        vouched_for: The site named its sender: a result that rests on an image that is wrong is corrected because of
            it, without a person.
    """

    code: str
    images: tuple[str, ...] = ()
    refused: str = ""
    vouched_for: bool = False

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Return the note in a JSON object."""
        return cls(
            code=str(record["code"]),
            images=tuple(map(str, record.get("images", ()))),
            refused=str(record.get("refused", "")),
            vouched_for=record.get("vouched_for") is True,
        )

    @property
    def title(self) -> str:
        """Meaning of the title, for people."""
        return TITLES.get(self.code, "a document title that cannot be read")
