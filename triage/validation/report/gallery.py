"""Images with the highest and lowest scores of each kind, with their activation maps (the paper's Fig. 4)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from triage.decision.types import ActivationMap
from triage.model.activation_map import cells_of, placed
from triage.validation.cohort.members import Member
from triage.validation.scores.activation_maps import ActivationMaps
from triage.validation.scores.scored import ScoredCohort

Picture = npt.NDArray[np.uint8]

_SIDE = 224
_EACH = 3


@dataclass(frozen=True)
class GalleryImage:
    """One image as data URIs; ``overlay`` is empty if the model has no map."""

    name: str
    score: float
    radiograph: str
    overlay: str


@dataclass(frozen=True)
class Group:
    """The highest- and lowest-scoring images of one kind."""

    title: str
    count: int
    shown: tuple[GalleryImage, ...]


def gallery(scored: ScoredCohort, members: Sequence[Member], threshold: float, maps: ActivationMaps) -> list[Group]:
    """Return true and false positives and negatives at ``threshold``, at most six of each."""
    raised, positive, known = scored.raised(threshold), scored.positive, scored.assessed
    kinds = (
        ("True positives", raised & positive),
        ("False positives", raised & ~positive),
        ("True negatives", ~raised & ~positive & known),
        ("False negatives", ~raised & positive & known),
    )
    groups = []
    for title, chosen in kinds:
        positions = np.flatnonzero(chosen)
        ordered = positions[np.argsort(-scored.scores[positions], kind="stable")].tolist()
        picked = ordered if len(ordered) <= 2 * _EACH else ordered[:_EACH] + ordered[-_EACH:]
        shown = [_shown(members[index], float(scored.scores[index]), maps) for index in picked]
        groups.append(Group(title, len(ordered), tuple(each for each in shown if each)))
    return groups


def _shown(member: Member, score: float, maps: ActivationMaps) -> GalleryImage | None:
    view = maps.view(member.row.image)
    if view is None:
        return None
    levels = np.rint(view.grey * 255).astype(np.uint8)
    small: Picture = np.asarray(cv2.resize(levels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    overlay = _jpeg(_overlaid(small, view.over_input)) if view.over_input is not None else ""
    return GalleryImage(member.row.image.name, score, _jpeg(small), overlay)


def _overlaid(grey: Picture, activation: ActivationMap) -> Picture:
    """Return the radiograph with the map in colour, where it speaks for the positive class."""
    cells = np.clip(cells_of(activation), 0, None)
    heat = placed(activation, cells / cells.max() if cells.max() > 0 else cells, _SIDE, _SIDE).clip(0, 1)
    colour = cv2.applyColorMap(np.rint(heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO).astype(np.float32)
    base = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR).astype(np.float32)
    share = (0.65 * heat)[:, :, np.newaxis]
    return np.asarray(base * (1 - share) + colour * share, dtype=np.uint8)


def _jpeg(image: Picture) -> str:
    _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + b64encode(coded.tobytes()).decode()
