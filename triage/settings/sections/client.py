"""Settings of our DICOM client."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from triage.setting_types import Section


class ClientSettings(Section):
    """Certificate for peers that request one, where no destination's settings name another."""

    tls_certificate: Path | None = Field(
        None,
        description="Certificate (PEM) of the canary, `triage send` and `triage validate --dicom`, for a listener that "
        "asks for one (`listener.tls_client_ca`). Empty: that of the DICOM destinations, if they all show the same.",
    )
    tls_key: Path | None = Field(None, description="Its private key, without a password (PEM).")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key need each other")
        return self
