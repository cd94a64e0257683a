"""PURE: the site's table of urgencies against the findings of the models in service."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from triage.decision.urgency import EVERY_OTHER, Urgency, UrgencyTable
from triage.model.card import ModelCard, ModelRefusedError
from triage.model.card_finding import CardFinding


def in_service(cards: Mapping[str, ModelCard], shadow: Collection[str]) -> list[ModelCard]:
    """Return the cards of the models that decide."""
    return [card for name, card in sorted(cards.items()) if name not in shadow]


def check_urgencies(cards: Collection[ModelCard], table: UrgencyTable) -> None:
    """Raise ModelRefusedError for a table that does not fit the findings that count.

    Refused are a finding that no model has, one that counts and has no urgency, and ``critical`` for a finding whose
    card does not state sensitivity and positive predictive value.
    """
    counting = [(card, finding) for card in cards for finding in card.findings if finding.counts]
    known = {finding.name for card in cards for finding in card.findings}
    if unknown := sorted(set(table.classes) - known - {EVERY_OTHER}):
        raise ModelRefusedError(
            f"decision.urgency has {', '.join(unknown)}, and no model in service has such a finding: they have "
            f"{', '.join(sorted(known))}"
        )
    for card, finding in counting:
        _check(card, finding, table)


def _check(card: ModelCard, finding: CardFinding, table: UrgencyTable) -> None:
    if not table.has(finding.name):
        raise ModelRefusedError(
            f"decision.urgency says nothing of {finding.name} of {card.name}: add {finding.name}=urgent or *=urgent"
        )
    if table.of(finding.name) is Urgency.CRITICAL and not finding.measured:
        raise ModelRefusedError(
            f"decision.urgency has {finding.name}=critical, and the card of {card.name} does not state sensitivity and "
            "ppv at its operating point: critical is for a finding that was measured; write urgent"
        )
