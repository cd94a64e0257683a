"""Channels of plug-ins."""
