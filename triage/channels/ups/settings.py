"""Settings of this channel's destinations."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from triage.channels.settings import DICOMDestination
from triage.setting_types import AETitle


class UPSDestination(DICOMDestination):
    """A UPS manager that takes workitems by DIMSE."""

    worklist_label: str = Field(
        "CXR triage", min_length=1, max_length=64, pattern=r"^[ -\[\]-~]+$", description="Worklist Label (0074,1202)."
    )
    low: bool = Field(
        False, description="Say LOW where decision.lower_normal or the order made it so; otherwise MEDIUM."
    )
    look_s: float = Field(
        0.0,
        ge=0,
        description="Seconds between two polls of the manager for workitems of ours that were completed (N-GET, UPS "
        "Pull), whose studies leave the list, or claimed, which is shown. 0: never.",
    )
    retrieve_ae_title: AETitle | Literal[""] = Field(
        "", description="Where readers retrieve the images (0008,0054); empty: the AE title that sent them."
    )
