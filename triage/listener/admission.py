"""Admission of associations, by called and calling AE title and by source address."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from triage.dicom.association_request import APPLICATION_CONTEXT_NAME, AssociationRequest
from triage.dicom.peer_address import Network, plain
from triage.errors import StartError
from triage.listener.settings import ListenerSettings
from triage.metrics.labels import Rejection


def admission_policy(settings: ListenerSettings, own_ae_title: str = "") -> AdmissionPolicy:
    """Return the policy of the settings, which always admits ourselves. Raises StartError for a malformed address."""
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


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class AdmissionPolicy:
    """The peers that may associate. An empty collection admits all.

    A peer with the calling AE title ``own_ae_title`` on this machine is ourselves: from a loopback address, or from
    ``own_address``, the one that we listen on.
    """

    ae_title: str
    require_called_ae_title: bool = False
    calling_ae_titles: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()
    own_ae_title: str = ""
    own_address: str = ""

    def refuses_address(self, peer: str) -> bool:
        """Return whether no request from the address ``peer`` can be admitted, so that none need be read.

        False for this machine's own addresses if we have an AE title of our own: the request decides.
        """
        address = plain(peer)
        return not self._is_in_networks(address) and not (self.own_ae_title and self._is_here(address))

    def refusal(self, request: AssociationRequest, peer: str) -> Rejection | None:
        """Return why the peer at address ``peer`` may not associate; None if it may."""
        if request.application_context != APPLICATION_CONTEXT_NAME:
            return Rejection.OTHER
        address = plain(peer)
        own = bool(self.own_ae_title) and request.calling_ae_title == self.own_ae_title and self._is_here(address)
        if not own and not self._is_in_networks(address):
            return Rejection.SOURCE_ADDRESS
        if self.require_called_ae_title and request.called_ae_title != self.ae_title:
            return Rejection.CALLED_AE_TITLE
        if self.calling_ae_titles and not own and request.calling_ae_title not in self.calling_ae_titles:
            return Rejection.CALLING_AE_TITLE
        return None

    def _is_in_networks(self, address: Address) -> bool:
        return not self.networks or any(address in network for network in self.networks)

    def _is_here(self, address: Address) -> bool:
        return address.is_loopback or str(address) == self.own_address
