"""Settings of the PostgreSQL database of a store that several hosts share."""

from __future__ import annotations

from typing import Self

from pydantic import Field, SecretStr, model_validator

from triage.setting_types import OptionalPath, Port, Section
from triage.settings.safe_address import is_loopback


class PostgresSettings(Section):
    """Database of results, with store.kind = postgres+s3."""

    host: str = Field("", pattern=r"^[^\s/@]*$", description="Name or address of the server, or of a proxy before it.")
    port: Port = Field(5432, description="Its port.")
    database: str = Field("", description="Name of the database, which is made by hand; its tables are ours.")
    user: str = Field("", description="Role to sign in with; the database belongs to it.")
    password: SecretStr = Field(SecretStr(""), description="Its password; empty where the server asks for none.")
    tls: bool = Field(True, description="TLS, with the server's certificate checked. false: on loopback alone.")
    ca_file: OptionalPath = Field(
        None, description="Authorities that its certificate is checked against (PEM); empty: the system's."
    )
    statement_timeout_s: float = Field(30.0, gt=0, le=600, description="Seconds until a statement is given up.")
    commit_timeout_s: float = Field(10.0, gt=0, le=600, description="Seconds until a commit is given up.")

    @property
    def missing(self) -> list[str]:
        """The settings without which it cannot be used."""
        return [f"postgres.{key}" for key in ("host", "database", "user") if not getattr(self, key)]

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if not self.tls and self.host and not is_loopback(self.host):
            raise ValueError("tls = false is taken on loopback alone: results and names of patients are sent")
        return self
