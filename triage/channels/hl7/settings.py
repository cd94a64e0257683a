"""Settings of this channel's destinations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from triage.channels.settings import Destination
from triage.hl7.text import SEGMENT_NAMES, fill_segment, named
from triage.setting_types import Port

Acknowledgement = Literal["AA", "AE", "AR", "CA", "CE", "CR"]


# HL7 delimiters and control characters would break a message apart.
_HeaderText = Annotated[str, StringConstraints(max_length=180, pattern=r"^[^|~\\&\x00-\x1f]*$")]


class HL7Destination(Destination):
    """A RIS or an interface engine that takes HL7 v2.5.1 over MLLP."""

    host: str = Field(description="Address of the receiver.")
    port: Port = Field(description="MLLP port of the receiver.")
    tls: bool = Field(False, description="Speak TLS; the receiver's certificate is checked.")
    tls_ca_file: Path | None = Field(None, description="Certificates that the receiver's is checked against (PEM).")
    tls_server_name: str = Field(
        "", description="Name that the receiver's certificate is made out to; empty: what `host` says."
    )
    tls_certificate: Path | None = Field(
        None, description="Our certificate, where the receiver asks for one (PEM); read anew for each connection."
    )
    tls_key: Path | None = Field(None, description="Its private key, without a password (PEM).")
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
    priority_in: Literal["TQ1-9", "OBR-27", "both", "segment", "none"] = Field(
        "TQ1-9", description="Where the priority of a raised study goes; of others nothing is said."
    )
    priority_code: _HeaderText = Field(
        "",
        description="What is said there for every raised study. Empty: by its urgency (table 0485), S for critical "
        "and A for urgent. A code of the table is never below that of the order: it stays S for a STAT order.",
    )
    priority_segment: str = Field(
        "",
        pattern=r"^(Z[A-Z0-9]{2}\|[^\x00-\x1f]*)?$",
        description="With priority_in = segment: the segment, e.g. ZPR|{priority}|{accession_number}.",
    )
    delivered: tuple[Acknowledgement, ...] = Field(("AA", "CA"), description="Answers that mean: delivered.")
    retried: tuple[Acknowledgement, ...] = Field(("AR", "CR"), description="Answers that mean: try again.")
    error_tries: int = Field(
        12,
        ge=1,
        le=100,
        description="Attempts that may be answered otherwise (AE, CE) until it is a dead letter: over an hour with the "
        "usual intervals, as a RIS that starts answers so, too.",
    )
    answer_counts: Literal["frame", "commit", "application"] = Field(
        "commit",
        description="Which of several answers decides: the first acknowledgement, a commit (CA) too; that of the "
        "application alone (AA, AE, AR); or the frame's (0x06 of MLLP Release 2).",
    )
    own_control_id_only: bool = Field(
        False,
        description="Take no answer whose MSA-2 is not our MSH-10. By default one of another message counts, unless it "
        "is about one that we sent before.",
    )

    canary_processing_id: Literal["T", "D", "P"] = Field(
        "T",
        description="MSH-11 of the canary (table 0103): T training, D debugging; P for a receiver that takes no other.",
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.canary and self.message == "ORM^O01":
            raise ValueError("canary = true needs message = ORU^R01: no RIS has an order of the canary's to change")
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key need each other")
        if not self.tls and (self.tls_ca_file or self.tls_server_name or self.tls_certificate):
            raise ValueError("tls_ca_file, tls_server_name and tls_certificate need tls = true")
        if (self.priority_in == "segment") != bool(self.priority_segment):
            raise ValueError("priority_in = segment and priority_segment need each other")
        if self.priority_segment:
            fill_segment(self.priority_segment, dict.fromkeys(SEGMENT_NAMES, ""))
        if self.character_set:
            named(self.character_set)
        if both := set(self.delivered) & set(self.retried):
            raise ValueError(f"{', '.join(sorted(both))} cannot be both delivered and retried")
        return self
