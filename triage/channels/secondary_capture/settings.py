"""Settings of this channel's destinations."""

from __future__ import annotations

from pydantic import Field

from triage.channels.settings import DICOMDestination


class SecondaryCaptureDestination(DICOMDestination):
    """A PACS that takes the activation map as a picture, by C-STORE."""

    abnormal_only: bool = Field(
        False, description="Send the maps of abnormal images only; otherwise of normal ones too."
    )
    delay_s: float = Field(
        60.0, ge=0, description="Seconds from a study's first decision until its maps are built, so that they go once."
    )
