"""Settings of the listener."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from triage.setting_types import AETitle, Port, ProxyNetwork, Section

_CORES_EACH = 4
"""Hashing and the copies of the kernel, which run next to each other in one process, take most of a listener's time: on
two cores a second process gained nothing."""
_MOST_PROCESSES = 8


class ListenerSettings(Section):
    """Settings of the DICOM listener: C-ECHO and C-STORE."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all IPv4 interfaces.")
    port: Port = Field(11112, description="DICOM port.")
    tls_port: Port | None = Field(
        None, description="A second DICOM port, for TLS; 2762 is the usual one. Empty: there is none."
    )
    tls_only: bool = Field(False, description="Open the port for TLS only, and not `listener.port`.")
    tls_certificate: Path | None = Field(
        None,
        description="Our certificate, and those between it and its authority (PEM). A renewed one is used from the "
        "next connection on.",
    )
    tls_key: Path | None = Field(None, description="Its private key, without a password (PEM).")
    tls_client_ca: Path | None = Field(
        None,
        description="Authorities of the clients that may connect over TLS (PEM); empty: a client needs no certificate.",
    )
    tls_client_crl: Path | None = Field(
        None,
        description="Lists of revoked certificates (CRL, PEM), one of each authority that signs clients' certificates: "
        "revoked ones are refused, and all are when it has expired. A renewed one is used from the next connection on.",
    )
    ae_title: AETitle = Field("CXR_TRIAGE", description="Our AE title.")
    require_called_ae_title: bool = Field(
        False, description="Reject associations that call another AE title than ours."
    )
    calling_ae_titles: tuple[AETitle, ...] = Field(
        (), description="AE titles that may connect, and the only ones that metrics name; empty lets all in."
    )
    validation_ae_title: AETitle | Literal[""] = Field(
        "",
        description="Calling AE title of `triage validate --dicom`: what it sends is scored, and never listed, "
        "delivered or counted. Never one that sends patients; empty switches it off.",
    )
    source_addresses: tuple[str, ...] = Field(
        (), description="Addresses or networks (CIDR) that may connect; empty lets all in."
    )
    proxy_protocol_from: tuple[ProxyNetwork, ...] = Field(
        (),
        description="Addresses or networks (CIDR) of TCP proxies (HAProxy: `send-proxy-v2`): each connection from "
        "there has to begin with a header of the PROXY protocol, version 2, and is that of the peer which it names, "
        "for `source_addresses`, quotas, logs and receipts. From any other address such a header is not taken.",
    )
    processes: int = Field(
        0,
        ge=0,
        le=64,
        description="Listener processes of `triage up` that share the port; 0 is one for every four cores, eight at "
        "most. A `triage listen` that is started by itself shares it only if this is 2 or more.",
    )
    max_associations: int = Field(
        50,
        ge=1,
        description="Associations at once in one process. One that made no progress for 10 s makes room for another; "
        "where there is none such, more are rejected.",
    )
    max_associations_per_address: int = Field(
        40,
        ge=1,
        description="Of them from one address: the rest stays for others. Where all senders come through one address "
        "(a NAT's, or a proxy's that is not in `proxy_protocol_from`), as many as `max_associations`.",
    )
    max_pdu_bytes: int = Field(
        131072, ge=4096, le=1048576, description="Maximum PDU length that we offer to receive, in bytes."
    )
    network_timeout_s: float = Field(
        60.0,
        gt=0,
        description="Seconds of silence in an association until it is aborted, or of a message without progress.",
    )
    shutdown_grace_s: float = Field(
        30.0, gt=0, description="Seconds that open associations get to finish after SIGTERM."
    )
    drain_s: float = Field(
        0.0,
        ge=0,
        le=300,
        description="Seconds after SIGTERM for which listen, reports and web still take associations, messages and "
        "requests, while /readyz says that the process is not ready: long enough for a load balancer that looks there "
        "to send new ones elsewhere. 0: none, as where there is no other host.",
    )
    metrics_host: str = Field(
        "127.0.0.1", description="Address of the metrics and health port; 0.0.0.0 where Prometheus runs elsewhere."
    )
    metrics_port: Port = Field(
        9110, description="HTTP port of the first process; each further one takes the next. 0: any."
    )

    @property
    def process_count(self) -> int:
        """The listener processes of `triage up`."""
        return self.processes or min(max(len(os.sched_getaffinity(0)) // _CORES_EACH, 1), _MOST_PROCESSES)

    @model_validator(mode="after")
    def _validation_ae_title_is_no_sender(self) -> Self:
        if self.validation_ae_title in self.calling_ae_titles:
            raise ValueError("validation_ae_title must not be one of calling_ae_titles: its images are never listed")
        return self

    @model_validator(mode="after")
    def _tls_is_complete(self) -> Self:
        if self.tls_port is not None and not (self.tls_certificate and self.tls_key):
            raise ValueError("tls_port needs tls_certificate and tls_key")
        if self.tls_port is None and (self.tls_only or self.tls_certificate or self.tls_key or self.tls_client_ca):
            raise ValueError("tls_only, tls_certificate, tls_key and tls_client_ca need tls_port")
        if self.tls_client_crl and not self.tls_client_ca:
            raise ValueError("tls_client_crl needs tls_client_ca: without it no client is asked for a certificate")
        return self
