"""The destinations, ``[[channels.sr]]`` and so on in the settings file; none by default."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from triage.channels.hl7.settings import HL7Destination
from triage.channels.secondary_capture.settings import SecondaryCaptureDestination
from triage.channels.settings import Destination, DICOMDestination
from triage.channels.sr.settings import SRDestination
from triage.channels.ups.settings import UPSDestination
from triage.channels.webhook.settings import WebhookDestination
from triage.setting_types import Section


class ChannelsSettings(Section):
    """Ways out. Each is a list of destinations, in the settings file only."""

    sr: tuple[SRDestination, ...] = Field((), description="DICOM structured reports.")
    secondary_capture: tuple[SecondaryCaptureDestination, ...] = Field(
        (), description="Activation maps as Secondary Capture images."
    )
    hl7: tuple[HL7Destination, ...] = Field((), description="HL7 v2 messages over MLLP.")
    webhook: tuple[WebhookDestination, ...] = Field((), description="Signed JSON over HTTP.")
    ups: tuple[UPSDestination, ...] = Field((), description="Workitems for a UPS manager.")

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [each.name for each in self.all()]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"destinations need names of their own: {', '.join(twice)}")
        return self

    def all(self) -> tuple[Destination, ...]:
        """Every destination of every kind, switched on or not."""
        return (*self.sr, *self.secondary_capture, *self.hl7, *self.webhook, *self.ups)

    def enabled(self) -> tuple[Destination, ...]:
        """The destinations that exist for the service."""
        return tuple(each for each in self.all() if each.enabled)

    def certificates(self) -> tuple[tuple[Path, Path], ...]:
        """The different certificates, with their keys, that destinations are shown."""
        dicom = [each for each in self.enabled() if isinstance(each, DICOMDestination)]
        return tuple(dict.fromkeys((d.tls_certificate, d.tls_key) for d in dicom if d.tls_certificate and d.tls_key))

    def with_canary(self) -> tuple[Destination, ...]:
        """Those that the canary is delivered to."""
        return tuple(each for each in self.enabled() if each.canary)
