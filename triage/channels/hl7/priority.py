"""PURE: the priority that goes out with a raised study, as a code of HL7 table 0485, never below the order's own."""

from __future__ import annotations

from triage.decision.types import Priority
from triage.decision.urgency import Urgency
from triage.hl7.text import Encoded, components, escape
from triage.spool.study import Study

_CODES = {Urgency.CRITICAL: "S", Urgency.URGENT: "A"}
_RANK = {"S": 0, "A": 1, "P": 1, "C": 1, "T": 2, "R": 2}
"""Table 0485, the highest first. Codes of a site's own have no rank, and go out as they are set."""
_ORDERED = {"STAT": "S", "HIGH": "A"}
"""Requested Procedure Priority (0040,1003) of an order above routine."""
_NAMES = {"S": "Stat", "A": "ASAP", "R": "Routine", "P": "Preop", "C": "Callback", "T": "Timing critical"}


def priority_code(study: Study, override: str = "") -> str:
    """Return the code of a raised study: critical S, urgent A, or the site's ``override``.

    An order that is higher already keeps its own: A for an urgent finding would lower a STAT order.
    """
    code, own = override or _CODES.get(study.decision.urgency, "A"), _of_order(study)
    return own if own and code in _RANK and _RANK[code] > _RANK[own] else code


def code_to_tell(study: Study, override: str = "") -> str:
    """Return the code that a message has: of a raised study, or the order's own where a correction takes that back.

    Empty for every other study: nothing is told of its priority.
    """
    if study.raised:
        return priority_code(study, override)
    return (_of_order(study) or "R") if study.correction else ""


def named(code: str) -> Encoded:
    """Return a code as TQ1-9 (CWE): with its name where table 0485 has it."""
    name = _NAMES.get(code)
    return components(code, name, "HL70485") if name else escape(code)


def _of_order(study: Study) -> str:
    """Return the code of the order's own priority; empty for one that is not above routine."""
    stated = {image.assessment.order_priority for image in study.images}
    for priority, code in _ORDERED.items():
        if priority in stated:
            return code
    return "A" if study.decision.order_priority is Priority.HIGH else ""
