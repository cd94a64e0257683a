"""Cases without a disagreement: the random audit, and scores near their operating point.

A study is drawn when its first decision is made, before it is listed, by a digest of the seed and its Study Instance
UID. Later changes of seed and fraction draw no study that has a result already.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from triage.adjudication.journal import CaseAct, CaseActKind, ChosenBy, append_act, case_acts
from triage.adjudication.marks import CaseMarks
from triage.decision.types import TriageDecision
from triage.spool.store import Store

_DRAWN_FROM = 1 << 64


@dataclass(frozen=True)
class ChoiceRules:
    """The rules of the site. ``fraction`` of studies for the audit, 0 to 1, drawn by ``seed``.

    ``uncertain_within``: distance of a score from its operating point up to which it is uncertain; 0 for none.
    """

    fraction: float = 0.0
    seed: str = ""
    uncertain_within: float = 0.0


@dataclass(frozen=True)
class CaseChooser:
    """Notes the cases among new decisions. Call it under the study's lock, before the decision is written."""

    spool: Store
    rules: ChoiceRules
    now: Callable[[], float]

    def __call__(self, decision: TriageDecision, first: bool) -> None:
        """Choose a study, at its ``first`` decision only. Raises OSError."""
        marks, uid = CaseMarks(self.spool), decision.study_instance_uid
        marks.reopen(uid)
        if not first or decision.silent:
            return
        chosen = [each for each in (self._drawn(decision), self._uncertain(decision)) if each]
        if not chosen:
            return
        marks.open(uid)
        known = {each.chosen_by for each in case_acts(self.spool, uid)}  # of a run that was killed
        for act in chosen:
            if act.chosen_by not in known:
                append_act(self.spool, uid, act)

    def _drawn(self, decision: TriageDecision) -> CaseAct | None:
        if not is_drawn(decision.study_instance_uid, self.rules.seed, self.rules.fraction):
            return None
        return self._act(decision, ChosenBy.RANDOM, self.rules.seed, self.rules.fraction)

    def _uncertain(self, decision: TriageDecision) -> CaseAct | None:
        margin = self.rules.uncertain_within
        if not margin or (nearest := distance_from_point(decision)) is None or nearest > margin:
            return None
        return self._act(decision, ChosenBy.UNCERTAINTY, "", margin)

    def _act(self, decision: TriageDecision, way: ChosenBy, seed: str, fraction: float) -> CaseAct:
        return CaseAct(
            CaseActKind.CHOSEN,
            self.now(),
            revision=decision.revision,
            tag=decision.tag,
            chosen_by=way,
            seed=seed,
            fraction=fraction,
        )


def is_drawn(study_instance_uid: str, seed: str, fraction: float) -> bool:
    """Return whether a study is in the sample: the same for a seed on every machine, and the result has no part."""
    drawn = int.from_bytes(sha256(f"{seed}\n{study_instance_uid}".encode()).digest()[:8])
    return drawn < fraction * _DRAWN_FROM


def distance_from_point(decision: TriageDecision) -> float | None:
    """Return the smallest distance of a finding's score from its operating point; None without such a finding."""
    found = [
        abs(each.probability - each.threshold)
        for each in decision.findings
        if each.counts and each.probability is not None and each.threshold is not None
    ]
    return min(found, default=None)
