"""The service: radiographs in over DICOM, tags and priorities out. Imports no torch.

Other people's code finds here what it may rely on: ``__all__``, described in docs/reference/python-api.md. Names are
looked up when they are first used (PEP 562), so that ``import triage`` loads no library.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from triage.api.asserted import Asserted, ImageInputError
    from triage.api.image_score import ImageScore
    from triage.api.image_scorer import ImageScorer, OtherProcessError, load_models
    from triage.decision.reasons import Reason
    from triage.decision.types import ActivationMap, Tag
    from triage.errors import TriageError
    from triage.model.card import ModelRefusedError
    from triage.model.session import ProviderError

    __version__: str

__all__ = [
    "ActivationMap",
    "Asserted",
    "ImageInputError",
    "ImageScore",
    "ImageScorer",
    "ModelRefusedError",
    "OtherProcessError",
    "ProviderError",
    "Reason",
    "Tag",
    "TriageError",
    "__version__",
    "load_models",
]

_FOUND_IN = {
    "ActivationMap": "triage.decision.types",
    "Asserted": "triage.api.asserted",
    "ImageInputError": "triage.api.asserted",
    "ImageScore": "triage.api.image_score",
    "ImageScorer": "triage.api.image_scorer",
    "ModelRefusedError": "triage.model.card",
    "OtherProcessError": "triage.api.image_scorer",
    "ProviderError": "triage.model.session",
    "Reason": "triage.decision.reasons",
    "Tag": "triage.decision.types",
    "TriageError": "triage.errors",
    "load_models": "triage.api.image_scorer",
}

# pydicom's messages quote the values of attributes, and those may be a patient's: they go nowhere.
logging.getLogger("pydicom").addHandler(logging.NullHandler())
logging.getLogger("pydicom").propagate = False


def __getattr__(name: str) -> object:
    if name == "__version__":
        return import_module("triage.runtime.release").RELEASE
    if name not in _FOUND_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_FOUND_IN[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
