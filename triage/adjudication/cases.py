"""PURE: the cases of a study: what was said on each finding, by whom, and what was judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from triage.adjudication.journal import CaseAct, CaseActKind, ChosenBy, Contradicted
from triage.decision.findings import FindingState
from triage.decision.types import Tag, TriageDecision
from triage.worklist.reader_acts import Act, ReaderAct, labels

WHOLE_STUDY = ""
"""Name of the case on the study as a whole: abnormal or normal."""
_OF_TAG = {Tag.ABNORMAL: 1, Tag.NORMAL: 0}
_OF_STATE = {FindingState.PRESENT: 1, FindingState.ABSENT: 0}


class DisputeKind(StrEnum):
    """The two sides of a disagreement."""

    READER_MODEL = "reader_model"
    READER_REPORT = "reader_report"
    READER_READER = "reader_reader"


@dataclass(frozen=True)
class Statement:
    """A statement of a reader on a case. ``number`` is 0 for the label of a study; see ``CaseAct``."""

    who: str
    at: float
    label: int | None
    text: str = ""
    against: str = ""
    number: int = 0


@dataclass(frozen=True)
class AdjudicationCase:
    """One case: a finding of a study, or the study as a whole.

    Attributes:
        study_instance_uid: The study.
        finding: The finding, see ``CaseAct``.
        title: Its name for people; empty for the study as a whole.
        model_label: Label by the result, None where it says neither.
        statements: Those of readers, oldest first, without withdrawn ones.
        kinds: The disagreements among all sides.
        chosen: The other ways by which the case was chosen, in the order of time.
        judgement: The last judgement, on all images that count; None if it has to be judged.
        earlier: The last judgement before further images came.
        involved: Names of readers who may not judge it.
    """

    study_instance_uid: str
    finding: str
    title: str
    model_label: int | None
    statements: tuple[Statement, ...]
    kinds: tuple[DisputeKind, ...]
    chosen: tuple[CaseAct, ...]
    judgement: CaseAct | None
    earlier: CaseAct | None
    involved: frozenset[str]

    @property
    def since(self) -> float:
        """The time of the first statement or draw, in POSIX seconds."""
        return min([*(each.at for each in self.statements), *(each.at for each in self.chosen)], default=0.0)

    @property
    def chosen_by(self) -> ChosenBy:
        """The way that counts: a random draw came before the result, whatever was said afterwards."""
        ways = {each.chosen_by for each in self.chosen}
        if ChosenBy.RANDOM in ways:
            return ChosenBy.RANDOM
        return ChosenBy.DISAGREEMENT if self.kinds else ChosenBy.UNCERTAINTY

    @property
    def also(self) -> tuple[ChosenBy, ...]:
        """The other ways by which it was chosen, too."""
        ways = [ChosenBy(each.chosen_by) for each in self.chosen]
        found = dict.fromkeys([*ways, *([ChosenBy.DISAGREEMENT] if self.kinds else [])])
        return tuple(each for each in found if each is not self.chosen_by)

    def may_judge(self, who: str) -> bool:
        """Return True if this person is none of those who disagree, and has not read a study of the audit."""
        return who.casefold() not in self.involved


def cases_of(
    decision: TriageDecision, reading: Sequence[ReaderAct], acts: Sequence[CaseAct], images: frozenset[str]
) -> list[AdjudicationCase]:
    """Return the cases of a study.

    Args:
        decision: The current result.
        reading: The acts of readers, of which labels are statements on the study as a whole.
        acts: The journal of the study's cases.
        images: SOP Instance UIDs of the images that count now.
    """
    stated = active_disagreements(acts)
    names = dict.fromkeys([*(each.finding for each in stated), WHOLE_STUDY])
    found = [_case(decision, name, reading, acts, images) for name in names]
    return [each for each in found if each.kinds or each.chosen]


def active_disagreements(acts: Iterable[CaseAct]) -> list[CaseAct]:
    """Return the disagreements that were not withdrawn, oldest first."""
    known = list(acts)
    withdrawn = {each.number for each in known if each.act is CaseActKind.WITHDRAWN}
    return [each for each in known if each.act is CaseActKind.DISAGREED and each.number not in withdrawn]


def model_label(decision: TriageDecision, finding: str) -> int | None:
    """Return the label that the result gives to a finding or, if empty, to the study; None where it says neither."""
    if finding == WHOLE_STUDY:
        return _OF_TAG.get(decision.tag)
    states = {each.name: each.state for each in decision.findings}
    return _OF_STATE.get(states[finding]) if finding in states else None


def _case(
    decision: TriageDecision,
    finding: str,
    reading: Sequence[ReaderAct],
    acts: Sequence[CaseAct],
    images: frozenset[str],
) -> AdjudicationCase:
    own = [each for each in acts if each.finding == finding]
    stated = [_statement(each) for each in active_disagreements(acts) if each.finding == finding]
    of_study = labels(list(reading)) if finding == WHOLE_STUDY else {}
    statements = sorted([*stated, *(_of_label(each) for each in of_study.values())], key=lambda each: each.at)
    says = model_label(decision, finding)
    chosen = tuple(each for each in own if each.act is CaseActKind.CHOSEN)
    last = next((each for each in reversed(own) if each.act is CaseActKind.JUDGED), None)
    whole = last is not None and images <= frozenset(last.images)
    return AdjudicationCase(
        study_instance_uid=decision.study_instance_uid,
        finding=finding,
        title=next((each.title for each in reversed(own) if each.title), ""),
        model_label=says,
        statements=tuple(statements),
        kinds=_kinds(statements, says),
        chosen=chosen,
        judgement=last if whole else None,
        earlier=None if whole else last,
        involved=_involved(own, reading if finding == WHOLE_STUDY else (), audited=bool(chosen)),
    )


def _kinds(statements: Sequence[Statement], says: int | None) -> tuple[DisputeKind, ...]:
    against = {each.against for each in statements}
    said = {each.label for each in statements}
    of_labels = {each.label for each in statements if not each.against}
    found = {
        DisputeKind.READER_MODEL: Contradicted.MODEL in against or (says is not None and of_labels - {says, None}),
        DisputeKind.READER_REPORT: Contradicted.REPORT in against,
        DisputeKind.READER_READER: Contradicted.READER in against or {0, 1} <= said,
    }
    return tuple(kind for kind, holds in found.items() if holds)


def _involved(own: Iterable[CaseAct], reading: Iterable[ReaderAct], audited: bool) -> frozenset[str]:
    """Return who spoke on a case, also if it was taken back; of an audited study who has read it with its result."""
    spoke = [name for each in own if each.act is CaseActKind.DISAGREED for name in (each.who, each.reader)]
    kinds = (Act.LABEL, Act.READ) if audited else (Act.LABEL,)
    spoke += [each.who for each in reading if each.act in kinds]
    return frozenset(name.casefold() for name in spoke if name)


def _statement(act: CaseAct) -> Statement:
    return Statement(act.who, act.at, act.label, act.text, act.against, act.number)


def _of_label(act: ReaderAct) -> Statement:
    return Statement(act.who, act.at, act.label)


def findings_by_name(decision: TriageDecision) -> Mapping[str, str]:
    """Return the titles of the result's findings, by name."""
    return {each.name: each.title for each in decision.findings}
