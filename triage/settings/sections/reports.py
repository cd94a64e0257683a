"""Settings of inbound reports: port, senders, and which statuses count; off by default."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from triage.hl7.text import named
from triage.setting_types import OptionalPath, Port, ProxyNetwork, Section

Where = Literal["OBR-18", "OBR-19", "OBR-20", "OBR-3", "OBR-2", "ORC-3", "ORC-2"]
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class ReportsSettings(Section):
    """Reports of studies, which then leave the list."""

    port: Port = Field(0, description="MLLP port for report messages (HL7 v2 ORU^R01, ORM^O01); 0: none are taken.")
    host: str = Field(
        "127.0.0.1",
        description="Address to listen on; off loopback, reports.source_addresses or reports.tls_client_ca is needed, "
        "and reports.sending_applications or reports.sending_facilities.",
    )
    source_addresses: tuple[str, ...] = Field(
        (), description="Addresses or networks (CIDR) that may connect; empty lets all in."
    )
    proxy_protocol_from: tuple[ProxyNetwork, ...] = Field(
        (), description="Addresses or networks (CIDR) of TCP proxies, as listener.proxy_protocol_from."
    )
    sending_applications: tuple[str, ...] = Field(
        (), description="MSH-3 of messages that are taken; empty takes all. Others are answered AE."
    )
    sending_facilities: tuple[str, ...] = Field(
        (), description="MSH-4 of messages that are taken; empty takes all. Others are answered AE."
    )
    tls_certificate: OptionalPath = Field(
        None,
        description="Path of our certificate, and those between it and its authority (PEM); with it only TLS is "
        "spoken, by the rules of the DICOM port. A renewed one is used from the next connection on.",
    )
    tls_key: OptionalPath = Field(None, description="Path of its key (PEM), if it is not in the same file.")
    tls_client_ca: OptionalPath = Field(
        None,
        description="Path of the certificates (PEM) that those of senders are checked against; empty: none is asked.",
    )
    tls_client_crl: OptionalPath = Field(
        None,
        description="Path of the lists of revoked certificates (CRL, PEM), as listener.tls_client_crl.",
    )
    result_statuses: tuple[Literal["P", "R", "F", "C", "A"], ...] = Field(
        ("F", "C"),
        min_length=1,
        description="OBR-25 of an ORU^R01 that means: this study was read. P only where no reader needs the list for a "
        "study with a preliminary report.",
    )
    order_statuses: tuple[Literal["CM", "A"], ...] = Field(
        (),
        description="ORC-5 of an ORM^O01 (ORC-1 SC or RE) that means: this study was read. In most RIS CM says that "
        "the images were taken, so none does by default.",
    )
    accession_in: tuple[Where, ...] = Field(
        ("OBR-18", "OBR-3", "ORC-3"),
        min_length=1,
        description="Where the accession number may be, in this order; a Study Instance UID in the message goes first.",
    )
    patient_required: bool = Field(
        True,
        description="Take no report whose PID-3 names no patient, nor one of a study without Patient ID that does not "
        "give its Study Instance UID: an accession number alone may be another patient's. "
        "false only where the sender cannot fill it.",
    )
    same_issuers: tuple[str, ...] = Field(
        (),
        description='Names of one issuer of patient IDs or accession numbers in HL7 and DICOM, as "HOSP = HOSPITAL". '
        "Issuers are compared where both sides name one, and two names are two issuers.",
    )
    time_in: Literal["OBR-22", "MSH-7", "none"] = Field(
        "OBR-22",
        description="When the report was made: an image that came later keeps the study on the list. none, or no time "
        "there: when the message came.",
    )
    remember_hours: float = Field(
        24.0,
        ge=0,
        le=720,
        description="Hours for which a report of no study of ours is remembered, for one that may come. 0: none is.",
    )
    remember_at_most: int = Field(
        5000, ge=1, le=50_000, description="Reports that are remembered at once; beyond, the oldest is forgotten."
    )
    character_set: str = Field("", description="Character set of all messages (HL7 table 0211); empty: that of MSH-18.")
    max_connections: int = Field(
        20, ge=1, le=500, description="Connections at once; beyond, the one that was silent longest is closed."
    )
    max_message_bytes: int = Field(
        16 * 1024**2, ge=4096, le=256 * 1024**2, description="Longest message in bytes; a longer one is answered AE."
    )
    idle_timeout_s: float = Field(3600.0, gt=0, description="Seconds of silence until a connection is closed.")
    message_timeout_s: float = Field(
        30.0, gt=0, description="Seconds from the start of a message, or of a TLS handshake, to its end."
    )
    metrics_host: str = Field(
        "127.0.0.1", description="Address of the metrics and health port; 0.0.0.0 where Prometheus runs elsewhere."
    )
    metrics_port: Port = Field(9190, description="HTTP port of the metrics and health. 0: any.")

    @model_validator(mode="after")
    def _is_not_open_to_all(self) -> Self:
        if self.port and self.host not in _LOOPBACK and not (self.source_addresses or self.tls_client_ca):
            raise ValueError(
                "every peer that can connect takes studies off the list: with a host other than loopback name "
                "source_addresses, or tls_client_ca"
            )
        if self.port and self.host not in _LOOPBACK and not (self.sending_applications or self.sending_facilities):
            raise ValueError(
                "every sender takes studies off the list: with a host other than loopback name the senders "
                "in sending_applications (MSH-3) or sending_facilities (MSH-4)"
            )
        for text in self.same_issuers:
            if len([name for name in text.split("=") if name.strip()]) < 2:
                raise ValueError(f"same_issuers: {text!r} does not say NAME = NAME")
        if self.tls_client_ca and not self.tls_certificate:
            raise ValueError("tls_client_ca needs tls_certificate")
        if self.tls_client_crl and not self.tls_client_ca:
            raise ValueError("tls_client_crl needs tls_client_ca: without it no sender is asked for a certificate")
        if self.character_set:
            named(self.character_set)
        return self
