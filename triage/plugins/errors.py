"""Errors of plug-ins."""

from __future__ import annotations

from triage.errors import StartError, TriageError


class PluginError(StartError):
    """A plug-in must not be used; the message names it. Install another, or correct plugins.enabled."""


class PluginFaultError(TriageError):
    """A plug-in failed at its work: it raised, did not end in time, or returned what it must not."""


class PluginNotEndedError(PluginFaultError):
    """A call of a plug-in did not end in time; it goes on in a thread of its own."""
