"""Settings of this channel's destinations."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from triage.channels.settings import DICOMDestination


class SRDestination(DICOMDestination):
    """A PACS that takes DICOM structured reports by C-STORE."""

    document: Literal["comprehensive_3d", "comprehensive", "enhanced"] = Field(
        "comprehensive_3d", description="SR storage class; some PACS take only comprehensive or enhanced."
    )
    delay_s: float = Field(
        60.0, ge=0, description="Seconds from a study's first decision until its SR is built, so that it makes one."
    )
