"""Registers signed JSON over HTTP as a kind of channel."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from triage.channels.kind import ChannelKind, Surroundings
from triage.channels.webhook.settings import WebhookDestination, standard_key

if TYPE_CHECKING:
    from triage.channels.base import Channel


def _make(destination: WebhookDestination, surroundings: Surroundings) -> Channel:
    from triage.channels.webhook.channel import WebhookChannel
    from triage.dicom.tls import ClientTLS

    parts = urlsplit(destination.url)
    files = (destination.tls_ca_file, destination.tls_certificate, destination.tls_key)
    tls = ClientTLS(parts.hostname or "", *files) if parts.scheme == "https" else None
    secrets = [each.get_secret_value() for each in (destination.secret, destination.second_secret) if each]
    keys = tuple(map(standard_key, secrets))
    return WebhookChannel(destination.url, secrets[0].encode(), destination.timeout_s, keys, tls)


KIND = ChannelKind("webhook", "Signed JSON over HTTP.", WebhookDestination, _make)
