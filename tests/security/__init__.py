"""Tests of triage/security/."""
