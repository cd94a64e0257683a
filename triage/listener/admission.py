"""Which associations are admitted: called and calling AE titles, and source addresses."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from triage.errors import StartError
from triage.listener.negotiation import Request
from triage.listener.settings import ListenerSettings
from triage.metrics.labels import Rejection


def admission_policy(settings: ListenerSettings, own_ae_title: str = "") -> AdmissionPolicy:
    """Who may connect, from the settings, and we ourselves. Raises StartError for an address that is none."""
    try:
        networks = tuple(ipaddress.ip_network(text, strict=False) for text in settings.source_addresses)
    except ValueError as error:
        raise StartError(f"listener.source_addresses: {error}") from error
    validation = frozenset({settings.validation_ae_title} - {""})
    return AdmissionPolicy(
        ae_title=settings.ae_title,
        require_called_ae_title=settings.require_called_ae_title,
        calling_ae_titles=frozenset(settings.calling_ae_titles) | validation
        if settings.calling_ae_titles
        else frozenset(),
        networks=networks,
        own_ae_title=own_ae_title,
        own_address=settings.host,
    )


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class AdmissionPolicy:
    """Who may connect. Empty collections let everybody in.

    What calls itself ``own_ae_title`` and comes from this machine is ourselves: from loopback, or from ``own_address``,
    the one that we listen on.
    """

    ae_title: str
    require_called_ae_title: bool = False
    calling_ae_titles: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()
    own_ae_title: str = ""
    own_address: str = ""

    def refusal(self, request: Request, peer: str) -> Rejection | None:
        """Why the peer at address ``peer`` may not associate; None if it may."""
        if not request.is_dicom:
            return Rejection.OTHER
        address = ipaddress.ip_address(peer.split("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        own = self._is_ourselves(request, address)
        if self.networks and not own and not any(address in network for network in self.networks):
            return Rejection.SOURCE_ADDRESS
        if self.require_called_ae_title and request.called_ae_title != self.ae_title:
            return Rejection.CALLED_AE_TITLE
        if self.calling_ae_titles and not own and request.calling_ae_title not in self.calling_ae_titles:
            return Rejection.CALLING_AE_TITLE
        return None

    def _is_ourselves(self, request: Request, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        if not self.own_ae_title or request.calling_ae_title != self.own_ae_title:
            return False
        return address.is_loopback or str(address) == self.own_address
