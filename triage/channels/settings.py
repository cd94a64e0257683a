"""Settings that every destination has, and every DICOM destination."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field, StringConstraints, model_validator

from triage.setting_types import AETitle, Port, Section

DestinationName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]


class Destination(Section):
    """Settings of every destination.

    ``one_at_a_time``: its channel is not called for two things at once.
    """

    one_at_a_time: ClassVar[bool] = False

    name: DestinationName = Field(description="Its name in commands, logs and metrics; letters, digits, _ and -.")
    enabled: bool = Field(True, description="False: as if it were not written here; nothing is built for it.")
    tries: int = Field(
        30, ge=1, le=100, description="Attempts at one message that reached the peer, until it is a dead letter."
    )
    first_interval_s: float = Field(
        5.0, gt=0, description="Seconds until the second attempt; doubled for each further."
    )
    longest_interval_s: float = Field(900.0, gt=0, description="Longest time between two attempts, in seconds.")
    timeout_s: float = Field(30.0, gt=0, le=600, description="Seconds of silence until an attempt counts as failed.")
    connections: int = Field(
        1,
        ge=1,
        le=8,
        description="Most connections at once; messages about different studies may then arrive in any order.",
    )
    delay_s: float = Field(0.0, ge=0, description="Seconds from a study's decision until its message is built.")
    canary: bool = Field(
        False, description="Deliver the canary here too, marked as a test: the receiver has to know what it is."
    )


class DICOMDestination(Destination):
    """A destination by DIMSE, with TLS where it is wanted."""

    host: str = Field(description="Address of the PACS or UPS manager.")
    port: Port = Field(description="DICOM port of the PACS or UPS manager.")
    called_ae_title: AETitle = Field(description="AE title of the PACS or UPS manager.")
    calling_ae_title: AETitle = Field("CXR_TRIAGE", description="AE title that we call ourselves.")
    tls: bool = Field(False, description="Speak TLS 1.2 or later; the peer's certificate is checked.")
    tls_ca_file: Path | None = Field(
        None, description="Authorities that the peer's certificate is checked against (PEM); empty: the system's."
    )
    tls_server_name: str = Field(
        "", description="Name that the peer's certificate is made out to; empty: what `host` says."
    )
    tls_certificate: Path | None = Field(
        None, description="Our certificate, where the peer asks for one (PEM); read anew for each connection."
    )
    tls_key: Path | None = Field(None, description="Its private key, without a password (PEM).")

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key need each other")
        if not self.tls and (self.tls_ca_file or self.tls_server_name or self.tls_certificate):
            raise ValueError("tls_ca_file, tls_server_name and tls_certificate need tls = true")
        return self
