"""Tests of triage/commands/."""
