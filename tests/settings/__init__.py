"""Tests of triage/settings/."""
