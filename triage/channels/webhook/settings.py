"""Settings of this channel's destinations."""

from __future__ import annotations

from pydantic import Field, SecretStr

from triage.channels.settings import Destination


class WebhookDestination(Destination):
    """An HTTP address that takes JSON."""

    url: str = Field(pattern=r"^https?://\S+$", description="Address that gets a POST for each result.")
    secret: SecretStr = Field(min_length=16, description="Key of the HMAC-SHA256 signature; 16 characters or more.")
