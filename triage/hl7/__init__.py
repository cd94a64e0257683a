"""HL7 v2 building blocks: text, message types, timestamps, MLLP frames."""
