"""The ports of the listener, plain and TLS."""

from __future__ import annotations

from contextlib import ExitStack

from triage.dicom.tls import ServerTLS
from triage.listener.settings import ListenerSettings
from triage.metrics.listener import ListenerMetrics
from triage.runtime.accept_loop import ListeningPort
from triage.runtime.sockets import open_port


def open_ports(settings: ListenerSettings, stack: ExitStack, metrics: ListenerMetrics) -> list[ListeningPort]:
    """Open the ports of the settings, the plain one first; ``stack`` closes them. Raises StartError."""
    shared = settings.processes > 1
    ports = []
    if not settings.tls_only:
        ports.append(ListeningPort(stack.enter_context(open_port(settings.host, settings.port, shared))))
    if settings.tls_port is not None:
        assert settings.tls_certificate is not None and settings.tls_key is not None
        tls = ServerTLS(settings.tls_certificate, settings.tls_key, settings.tls_client_ca, settings.tls_client_crl)
        metrics.certificate_not_after.labels("listener").set_function(tls.not_after)
        if settings.tls_client_crl:
            metrics.crl_next_update.labels("listener").set_function(tls.next_update)
        ports.append(ListeningPort(stack.enter_context(open_port(settings.host, settings.tls_port, shared)), tls))
    return ports
