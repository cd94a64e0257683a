"""Plug-ins: parts of installed distributions that the settings name, with version and digest (docs/adr/0067)."""
