"""The result of scoring one image."""

from __future__ import annotations

from dataclasses import dataclass

from triage.decision.findings import FindingScore
from triage.decision.reasons import Reason
from triage.decision.types import ActivationMap, Tag
from triage.model.activation_map import cells_of, strength
from triage.radiograph.types import FloatImage


@dataclass(frozen=True)
class ImageScore:
    """The score of one image with its reasons and its map, as the service would keep them.

    Attributes:
        tag: ABNORMAL, NORMAL or NOT_ASSESSED.
        probability: The model's plain score, 0 to 1; None only if nothing was scored. It is there for some images that
            are NOT_ASSESSED: then it says nothing of the patient.
        reasons: Why the image is NOT_ASSESSED.
        detail: The same for people, in words; names no patient.
        operating_point: The probability of the leading finding from which an image is ABNORMAL; None if no model ran.
        distance: How far the image is from the training images, in the units of the card; None if that is no number.
        distance_limit: The distance beyond which an image is not assessed.
        model_id: Name and version of the model that scored; None if none did.
        model_digest: SHA-256 of its weights.
        view: The view that was found: PA, AP, FRONTAL, LATERAL, OTHER or UNKNOWN.
        age_years: The patient's age that was found.
        view_contradicted: Whether the pixels of a chest clearly look like the other one of PA and AP.
        activation_map: Where the score came from, of the same run; None if there is none.
        no_map: Why there is no activation map.
        study_instance_uid: Study Instance UID (0020,000D) of a DICOM object.
        sop_instance_uid: SOP Instance UID (0008,0018) of a DICOM object.
        findings: Every finding of the models, with its score, its threshold, and whether it counts.
    """

    tag: Tag
    probability: float | None
    reasons: tuple[Reason, ...]
    detail: str
    operating_point: float | None
    distance: float | None = None
    distance_limit: float | None = None
    model_id: str | None = None
    model_digest: str | None = None
    view: str = "UNKNOWN"
    age_years: float | None = None
    view_contradicted: bool = False
    activation_map: ActivationMap | None = None
    no_map: str = ""
    study_instance_uid: str = ""
    sop_instance_uid: str = ""
    findings: tuple[FindingScore, ...] = ()

    def map_cells(self) -> FloatImage | None:
        """Return the values of the activation map, float32 (rows, columns) in logits; None if there is none."""
        return None if self.activation_map is None else cells_of(self.activation_map)

    def map_over(self, rows: int, columns: int) -> FloatImage | None:
        """Return how strongly each place draws the score above the operating point; None if there is no map.

        It shows what drew the score, and is no outline of a finding.

        Args:
            rows: Rows in which the whole image is drawn.
            columns: Columns in which it is drawn.

        Returns:
            float32 (rows, columns), 0 to 1; the same that the page of the service colours.

        Examples:
            >>> import triage
            >>> result = triage.load_models("models/wcmc-pediatric", threads=1).score("child.dcm")
            >>> result.map_over(512, 512).shape
            (512, 512)
        """
        if self.activation_map is None or self.probability is None or self.operating_point is None:
            return None
        return strength(self.activation_map, self.probability, self.operating_point, rows, columns)
