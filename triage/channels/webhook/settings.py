"""Settings of this channel's destinations."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from triage.channels.settings import Destination

_PREFIX = "whsec_"


class WebhookDestination(Destination):
    """An HTTP address that takes JSON."""

    url: str = Field(pattern=r"^https?://\S+$", description="Address that gets a POST for each result.")
    secret: SecretStr = Field(
        min_length=16,
        description="Key of the HMAC-SHA256 signatures: `whsec_` and base64 of 24 to 64 bytes (Standard Webhooks), or "
        "a text of 16 characters or more.",
    )
    second_secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="A second key whose signature follows the first in webhook-signature, while receivers change "
        "from one to the other.",
    )
    tls_ca_file: Path | None = Field(
        None, description="Authorities that the receiver's certificate is checked against (PEM); empty: the system's."
    )
    tls_certificate: Path | None = Field(
        None, description="Our certificate, where the receiver asks for one (PEM); read anew for each connection."
    )
    tls_key: Path | None = Field(None, description="Its private key, without a password (PEM).")

    @field_validator("secret", "second_secret")
    @classmethod
    def _is_a_key(cls, secret: SecretStr | None) -> SecretStr | None:
        """The message says nothing of the secret."""
        if secret is not None:
            standard_key(secret.get_secret_value())
        return secret

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key need each other")
        if (self.tls_ca_file or self.tls_certificate) and not self.url.startswith("https:"):
            raise ValueError("tls_ca_file and tls_certificate need an https address")
        return self


def standard_key(secret: str) -> bytes:
    """The key that a secret stands for (Standard Webhooks 1.0, Signature scheme). Raises ValueError."""
    text = secret.removeprefix(_PREFIX)
    if text == secret:
        return secret.encode()
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("what follows whsec_ is not base64") from None
    if not 24 <= len(key) <= 64:
        raise ValueError("what follows whsec_ is not 24 to 64 bytes in base64")
    return key
