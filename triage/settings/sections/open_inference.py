"""Settings of models that live at a server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from triage.setting_types import Section
from triage.settings.safe_address import is_loopback, safe_address

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PLACE = re.compile(r".*/v2/models/[^/]+(/versions/[^/]+)?")


def _model_address(text: str) -> str:
    name, _, address = text.partition("=")
    if not _NAME.fullmatch(name):
        raise ValueError("no NAME=ADDRESS with the name of a model folder")
    parts = urlsplit(safe_address(address))
    if parts.query or not _PLACE.fullmatch(parts.path):
        raise ValueError(f"the address of {name} has to end in /v2/models/NAME or /v2/models/NAME/versions/VERSION")
    return text


ModelAddress = Annotated[str, AfterValidator(_model_address)]


class OpenInferenceSettings(Section):
    """Models that live at servers of the Open Inference Protocol v2 (Triton, KServe, MLServer)."""

    servers: tuple[ModelAddress, ...] = Field(
        (),
        description="NAME=ADDRESS of models whose card says that they live at a server: the model folder, and "
        "https://HOST:PORT/v2/models/NAME, to which pixels are sent. http is taken on loopback alone.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="Hosts, as they are written in open_inference.servers, that pixels may be sent to; loopback always "
        "is.",
    )
    tls_ca_file: Path | None = Field(
        None, description="Authorities that the servers' certificates are checked against (PEM); empty: the system's."
    )
    tls_certificate: Path | None = Field(
        None, description="Our certificate, where a server asks for one (PEM); read anew for each connection."
    )
    tls_key: Path | None = Field(None, description="Its private key, without a password (PEM).")
    timeout_s: float = Field(
        10.0, gt=0, le=120, description="Seconds for one request, from the connection to the last byte of its answer."
    )
    check_interval_s: float = Field(
        300.0, ge=1, le=300, description="Seconds after which a server is asked for the known answers again."
    )
    patience_s: float = Field(
        60.0,
        ge=0,
        le=600,
        description="Seconds for which scoring waits for a server that gives no valid answer, until its images are "
        "given up: a restart takes that long. What comes later fails at once, until the server is back.",
    )

    @property
    def address_by_name(self) -> dict[str, str]:
        """Addresses by the names of the model folders."""
        return {name: address for name, _, address in (each.partition("=") for each in self.servers)}

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len(self.address_by_name) < len(self.servers):
            raise ValueError("servers names one model twice")
        return self

    @model_validator(mode="after")
    def _may_get_pixels(self) -> Self:
        allowed = {host.strip("[]").casefold() for host in self.allowed_hosts}
        for name, address in self.address_by_name.items():
            host = (urlsplit(address).hostname or "").casefold()
            if not is_loopback(host) and host not in allowed:
                raise ValueError(
                    f"{name} would send pixels to {host}, which is not in open_inference.allowed_hosts: put it there "
                    "if it is the site's server"
                )
        return self

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key need each other")
        return self
