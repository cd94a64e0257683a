"""Registers HL7 v2 messages over MLLP as a kind of channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triage.channels.hl7.settings import HL7Destination
from triage.channels.kind import ChannelKind, Surroundings

if TYPE_CHECKING:
    from triage.channels.base import Channel
    from triage.channels.hl7.channel import Receiver
    from triage.channels.hl7.message import Profile


def _make(destination: HL7Destination, surroundings: Surroundings) -> Channel:
    from triage.channels.hl7.channel import HL7Channel

    return HL7Channel(destination.name, _receiver(destination), _profile(destination), destination.canary_processing_id)


def _receiver(destination: HL7Destination) -> Receiver:
    from triage.channels.hl7.channel import Receiver
    from triage.dicom.tls import ClientTLS

    name = destination.tls_server_name or destination.host
    files = (destination.tls_ca_file, destination.tls_certificate, destination.tls_key)
    return Receiver(
        destination.host,
        destination.port,
        destination.timeout_s,
        ClientTLS(name, *files) if destination.tls else None,
        destination.delivered,
        destination.retried,
        destination.error_tries,
        destination.answer_counts,
        destination.own_control_id_only,
    )


def _profile(destination: HL7Destination) -> Profile:
    from triage.channels.hl7.message import Profile
    from triage.hl7.text import named

    return Profile(
        message=destination.message,
        sending=(destination.sending_application, destination.sending_facility),
        receiving=(destination.receiving_application, destination.receiving_facility),
        character_set=named(destination.character_set) if destination.character_set else None,
        result_status=destination.result_status,
        accession_in=destination.accession_in,
        priority_in=destination.priority_in,
        priority_code=destination.priority_code,
        priority_segment=destination.priority_segment,
    )


KIND = ChannelKind("hl7", "HL7 v2 messages over MLLP.", HL7Destination, _make)
