"""The destinations, ``[[channels.sr]]`` and so on in the settings file; none by default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, StringConstraints, model_validator

from triage.hl7.text import SEGMENT_NAMES, fill_segment, named
from triage.settings.types import AETitle, Port, Section

DestinationName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
Acknowledgement = Literal["AA", "AE", "AR", "CA", "CE", "CR"]
# HL7 delimiters and control characters would break a message apart.
_HeaderText = Annotated[str, StringConstraints(max_length=180, pattern=r"^[^|~\\&\x00-\x1f]*$")]


class Destination(Section):
    """What every destination has."""

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


class SRDestination(DICOMDestination):
    """A PACS that takes DICOM structured reports by C-STORE."""

    document: Literal["comprehensive_3d", "comprehensive", "enhanced"] = Field(
        "comprehensive_3d", description="SR storage class; some PACS take only comprehensive or enhanced."
    )
    delay_s: float = Field(
        60.0, ge=0, description="Seconds from a study's first decision until its SR is built, so that it makes one."
    )


class SecondaryCaptureDestination(DICOMDestination):
    """A PACS that takes the activation map as a picture, by C-STORE."""

    abnormal_only: bool = Field(
        False, description="Send the maps of abnormal images only; otherwise of normal ones too."
    )
    delay_s: float = Field(
        60.0, ge=0, description="Seconds from a study's first decision until its maps are built, so that they go once."
    )


class HL7Destination(Destination):
    """A RIS or an interface engine that takes HL7 v2.5.1 over MLLP."""

    host: str = Field(description="Address of the receiver.")
    port: Port = Field(description="MLLP port of the receiver.")
    tls: bool = Field(False, description="Speak TLS; the receiver's certificate is checked.")
    tls_ca_file: Path | None = Field(None, description="Certificates that the receiver's is checked against (PEM).")
    message: Literal["ORU^R01", "ORM^O01"] = Field(
        "ORU^R01",
        description="ORU^R01: the result. ORM^O01: only for raised studies, a change of the order (ORC-1 XO).",
    )
    sending_application: _HeaderText = Field("CXR_TRIAGE", description="MSH-3.")
    sending_facility: _HeaderText = Field("", description="MSH-4.")
    receiving_application: _HeaderText = Field("", description="MSH-5.")
    receiving_facility: _HeaderText = Field("", description="MSH-6.")
    character_set: str = Field(
        "",
        description="MSH-18 for all messages (HL7 table 0211); empty: that of the study's DICOM character set.",
    )
    result_status: Literal["P", "R", "S", "I", "F", "C"] = Field(
        "P", description="OBR-25 and OBX-11. F and C can close an order: never without the RIS's consent."
    )
    accession_in: Literal["OBR-2", "OBR-3", "OBR-18", "OBR-19", "OBR-20"] = Field(
        "OBR-18", description="Where the accession number goes."
    )
    priority_in: Literal["TQ1-9", "OBR-27", "segment", "none"] = Field(
        "TQ1-9", description="Where the priority of a raised study goes; of others nothing is said."
    )
    priority_code: _HeaderText = Field("S", description="What is said there (table 0485): S, A, R, ...")
    priority_segment: str = Field(
        "",
        pattern=r"^(Z[A-Z0-9]{2}\|[^\x00-\x1f]*)?$",
        description="With priority_in = segment: the segment, e.g. ZPR|{priority}|{accession_number}.",
    )
    delivered: tuple[Acknowledgement, ...] = Field(("AA", "CA"), description="Answers that mean: delivered.")
    retried: tuple[Acknowledgement, ...] = Field(("AR", "CR"), description="Answers that mean: try again.")
    error_tries: int = Field(
        3, ge=1, le=100, description="Attempts that may be answered otherwise (AE, CE) until it is a dead letter."
    )

    canary_processing_id: Literal["T", "D", "P"] = Field(
        "T",
        description="MSH-11 of the canary (table 0103): T training, D debugging; P for a receiver that takes no other.",
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.canary and self.message == "ORM^O01":
            raise ValueError("canary = true needs message = ORU^R01: no RIS has an order of the canary's to change")
        if (self.priority_in == "segment") != bool(self.priority_segment):
            raise ValueError("priority_in = segment and priority_segment need each other")
        if self.priority_segment:
            fill_segment(self.priority_segment, dict.fromkeys(SEGMENT_NAMES, ""))
        if self.character_set:
            named(self.character_set)
        if both := set(self.delivered) & set(self.retried):
            raise ValueError(f"{', '.join(sorted(both))} cannot be both delivered and retried")
        return self


class WebhookDestination(Destination):
    """An HTTP address that takes JSON."""

    url: str = Field(pattern=r"^https?://\S+$", description="Address that gets a POST for each result.")
    secret: SecretStr = Field(min_length=16, description="Key of the HMAC-SHA256 signature; 16 characters or more.")


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
        description="Seconds between two looks at the manager for workitems of ours that were completed (N-GET, UPS "
        "Pull): their studies leave the list. 0: never.",
    )
    retrieve_ae_title: AETitle | Literal[""] = Field(
        "", description="Where readers retrieve the images (0008,0054); empty: the AE title that sent them."
    )


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
