"""The search of the worklist. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

from triage.decision.types import Tag, TriageDecision


@dataclass(frozen=True)
class Search:
    """Studies with ``tag`` (None: any) whose accession number, AE title or UID contains ``text``, in any case.

    ``studies``: only these; None for any. ``named``: studies that match ``text`` whether or not they contain it.
    """

    tag: Tag | None = None
    text: str = ""
    studies: frozenset[str] | None = None
    named: frozenset[str] = frozenset()

    def may_match(self, study_instance_uid: str, entry: bytes) -> bool:
        """Return whether an entry's JSON may match: a search of its bytes costs a tenth of parsing them."""
        if self.studies is not None and study_instance_uid not in self.studies:
            return False
        if self.tag and f'"{self.tag}"'.encode() not in entry:
            return False
        if study_instance_uid in self.named:
            return True
        return not self.text or json.dumps(self.text.lower())[1:-1].encode() in entry.lower()

    def matches(self, decision: TriageDecision) -> bool:
        """Return whether a decision matches."""
        if self.tag and decision.tag is not self.tag:
            return False
        if decision.study_instance_uid in self.named:
            return True
        text = self.text.lower()
        fields = (decision.accession_number, decision.calling_ae_title, decision.study_instance_uid)
        return any(text in field.lower() for field in fields)
