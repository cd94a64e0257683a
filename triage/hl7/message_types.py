"""The HL7 message types that we send, and the coding scheme of our own codes."""

from __future__ import annotations

SCHEME = "99CXRTRIAGE"


ORU, ORM = "ORU^R01", "ORM^O01"
