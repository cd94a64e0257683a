"""Backup and restore of all data of an installation: docs/adr/0047."""
