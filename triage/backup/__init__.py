"""Backup and restore of all that an installation keeps: docs/adr/0047."""
