"""Settings of the S3 store that holds the objects of a store that several hosts share."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from triage.setting_types import OptionalPath, Section
from triage.settings.safe_address import safe_address


def _endpoint(text: str) -> str:
    if not text:
        return text
    parts = urlsplit(safe_address(text))
    if parts.path.strip("/") or parts.query:
        raise ValueError("the endpoint is an address without a path: the bucket has a setting of its own")
    return text.rstrip("/")


class S3Settings(Section):
    """Bucket of objects, with store.kind = postgres+s3."""

    endpoint: Annotated[str, AfterValidator(_endpoint)] = Field(
        "", description="Address of the store: https://HOST:PORT, without the bucket. http is taken on loopback alone."
    )
    bucket: str = Field(
        "",
        pattern=r"^([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?$",
        description="Name of the bucket, which is made by hand; addressed by path.",
    )
    region: str = Field(
        "us-east-1",
        pattern=r"^[a-z0-9-]{1,40}$",
        description="Region that requests are signed for.",
    )
    access_key: SecretStr = Field(
        SecretStr(""),
        description="Access key of a user who may do four things in this "
        "bucket alone: GetObject, PutObject, DeleteObject, ListBucket.",
    )
    secret_key: SecretStr = Field(SecretStr(""), description="Its secret key.")
    ca_file: OptionalPath = Field(
        None, description="Authorities that its certificate is checked against (PEM); empty: the system's."
    )
    timeout_s: float = Field(
        30.0,
        gt=0,
        le=600,
        description="Seconds for a request with all its tries, and one more for each MiB that is moved.",
    )

    @property
    def missing(self) -> list[str]:
        """The settings without which it cannot be used."""
        keys = {"access_key": self.access_key.get_secret_value(), "secret_key": self.secret_key.get_secret_value()}
        given = {"endpoint": self.endpoint, "bucket": self.bucket, **keys}
        return [f"s3.{key}" for key, value in given.items() if not value]
