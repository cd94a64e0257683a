"""Why an image or a study has the tag it has: the closed list of reasons."""

from enum import StrEnum


class Reason(StrEnum):
    """A reason beside a tag. The values are an interface: worklists, metrics and messages carry them."""

    # Listed with the study, never counted: nobody expects a chest model to read these.
    NOT_A_RADIOGRAPH = "not_a_radiograph"  # not CR or DX: SC, SR, PR, KO, CT, ...
    FOR_PROCESSING = "for_processing"  # DX before the vendor's processing; its For Presentation twin is read
    NOT_CHEST = "not_chest"  # Body Part Examined or the codes say another part
    NOT_FRONTAL = "not_frontal"  # explicit lateral, oblique or decubitus
    LOCALIZER = "localizer"

    # Should have been scored and was not.
    UNDECODABLE = "undecodable"
    MULTI_FRAME = "multi_frame"
    VIEW_UNVERIFIED = "view_unverified"
    AGE_UNKNOWN = "age_unknown"
    AGE_NOT_COVERED = "age_not_covered"
    OUT_OF_DISTRIBUTION = "out_of_distribution"
    MODEL_DISABLED = "model_disabled"
    MODEL_SHADOW = "model_shadow"
    NO_MODEL = "no_model"  # no model folder is installed that is for this image
    WORKER_FAILURE = "worker_failure"

    # Scored, but the negative cannot be called normal.
    FINDING_NOT_COVERED = "finding_not_covered"

    # Of a study only.
    NO_FRONTAL_IMAGE = "no_frontal_image"  # nothing in the study was for us to score


LISTED_NOT_COUNTED = frozenset(
    {Reason.NOT_A_RADIOGRAPH, Reason.FOR_PROCESSING, Reason.NOT_CHEST, Reason.NOT_FRONTAL, Reason.LOCALIZER}
)
"""Reasons of objects that are shown with the study and change no tag (DESIGN: a study)."""
