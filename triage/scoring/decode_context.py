"""The cards and the policy that decode processes need with every object, pickled once and not for each object."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from triage.model.card import ModelCard
from triage.scoring.assess import AssessmentPolicy


@dataclass(frozen=True)
class DecodeContext:
    """The cards by model name, and the policy, as bytes: a process that gets the same bytes again has them open."""

    packed: bytes

    @classmethod
    def of(cls, cards: Mapping[str, ModelCard], policy: AssessmentPolicy) -> Self:
        """Return the context of these."""
        return cls(pickle.dumps((dict(cards), policy), pickle.HIGHEST_PROTOCOL))

    def opened(self) -> tuple[Mapping[str, ModelCard], AssessmentPolicy]:
        """Return the cards and the policy."""
        return _opened(self.packed)


@lru_cache(maxsize=4)  # one for each partition, and one for a model that was just switched off
def _opened(packed: bytes) -> tuple[Mapping[str, ModelCard], AssessmentPolicy]:
    found: tuple[Mapping[str, ModelCard], AssessmentPolicy] = pickle.loads(packed)  # noqa: S301 (from the parent, as all that comes)
    return found
