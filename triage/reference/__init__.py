"""The generated parts of docs/reference: commands, settings, reasons, channels and the conformance statement."""
