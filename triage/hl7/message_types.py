"""The HL7 message types that we send, and the coding scheme of our own codes."""

from __future__ import annotations

from triage.decision.finding_codes import PRIVATE_SCHEME

SCHEME = PRIVATE_SCHEME


ORU, ORM = "ORU^R01", "ORM^O01"
