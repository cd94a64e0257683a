"""Settings of the mail server that takes pages."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from triage.setting_types import LOOPBACK_NAMES, MailAddress, OptionalPath, Port, Section


class SmtpSettings(Section):
    """Mail server of the site; pages alone are sent by it."""

    host: str = Field("", pattern=r"^[^\s/@]*$", description="Name or address of the mail server.")
    port: Port = Field(587, description="Its port: 587 for STARTTLS, 465 for TLS from the start.")
    tls: Literal["starttls", "implicit", "none"] = Field(
        "starttls",
        description="starttls: a server that does not offer it gets nothing; implicit: TLS at once. Its certificate "
        "is checked. none: only for a server on this machine (loopback).",
    )
    tls_ca_file: OptionalPath = Field(
        None, description="Authorities that its certificate is checked against (PEM); empty: the system's."
    )
    sender: MailAddress | Literal[""] = Field("", description="Address that pages come from.")
    user: str = Field("", description="Name to sign in with; empty: without.")
    password: SecretStr = Field(SecretStr(""), description="Its password.")
    timeout_s: float = Field(
        20.0, gt=0, le=120, description="Seconds for the whole exchange of a page, whatever the server does."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.tls == "none" and self.host and self.host not in LOOPBACK_NAMES:
            raise ValueError("tls = none is only for a mail server on this machine: pages are about patients")
        if bool(self.user) != bool(self.password.get_secret_value()):
            raise ValueError("user and password need each other")
        return self
