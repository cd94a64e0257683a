"""Normal or abnormal from a report's text: findings that are not negated nearby (after Chapman's NegEx, 2001)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from triage.report_labeller.mesh import STRICT
from triage.report_labeller.reports import Report
from triage.report_labeller.rules import AbnormalTerm, Rules, rules

# A point ends a sentence unless it is in a number or after the numeral of a list; de-identified words are XXXX.
_SENTENCE_ENDS = re.compile(r"(?<!\d)\.(?!\d)|(?<=\d)\.(?=\s+[A-Z])|(?<=[a-z]\d)\.|[;!?\n]|\.\s*$")
_LETTER = re.compile("[A-Za-z]")
_REACH = 6
"""Most words between a finding and a negation after it."""
_NUMERAL = re.compile(r"^\s*\d+\s*[.)]\s*")


@dataclass(frozen=True)
class ReportLabel:
    """A label: 1 abnormal, 0 normal, None for neither; with the deciding sentence and the reason."""

    label: int | None
    sentence: str
    why: str


def judge(report: Report, definition: str = STRICT, using: Rules | None = None) -> ReportLabel:
    """Label a report: abnormal with any asserted finding that ``definition`` counts, normal only if the text says so.

    A report that neither asserts nor denies a finding has no label.
    """
    known = using or rules()
    result = ReportLabel(None, "", "no finding is named and nothing is said to be normal")
    for _, text in report.sections:
        for sentence in sentences(text):
            for finding in asserted(sentence, known):
                if definition == STRICT or finding.kind == definition:
                    return ReportLabel(1, sentence, finding.name)
            if result.label is None and says_normal(sentence, known):
                result = ReportLabel(0, sentence, "said to be normal, and no finding is asserted")
    return result


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a section, without the numerals of lists."""
    for part in _SENTENCE_ENDS.split(text):
        sentence = _NUMERAL.sub("", part).strip()
        if _LETTER.search(sentence):
            yield " ".join(sentence.split())


def asserted(sentence: str, known: Rules) -> list[AbnormalTerm]:
    """Return the findings that a sentence asserts: named, and not negated before, within or after."""
    return [finding for finding, negated in named(sentence, known) if not negated]


def says_normal(sentence: str, known: Rules) -> bool:
    """Return whether a sentence says that something is normal, or that a finding is absent."""
    return bool(known.says_normal.search(sentence.lower())) or any(negated for _, negated in named(sentence, known))


def named(sentence: str, known: Rules) -> Iterator[tuple[AbnormalTerm, bool]]:
    """Yield the findings that a sentence names, and whether each is negated.

    Of overlapping phrases the longest counts: a healed fracture is not a fracture.
    """
    lower = known.ignored.sub(lambda match: " " * len(match[0]), sentence.lower())
    guarded = known.not_a_negation.sub(lambda match: "~" * len(match[0]), lower)
    found = [(finding, match) for finding in known.findings for match in finding.matches(lower)]
    found.sort(key=lambda each: (each[1].start() - each[1].end(), each[1].start()))
    taken: list[tuple[int, int]] = []
    for finding, match in found:
        if all(match.end() <= start or end <= match.start() for start, end in taken):
            taken.append(match.span())
            yield finding, _negated(guarded, match, known)


def _negated(sentence: str, match: re.Match[str], known: Rules) -> bool:
    """Return whether the finding is negated before, within or after, in the scope of the negation."""
    ends = [end.end() for end in known.scope_ends.finditer(sentence, 0, match.start())]
    if known.negated_before.search(sentence, ends[-1] if ends else 0, match.end()):
        return True
    after = sentence[match.end() :]
    stop = known.scope_ends.search(after)
    negation = known.negated_after.search(after, 0, stop.start() if stop else len(after))
    return negation is not None and len(after[: negation.start()].split()) <= _REACH
