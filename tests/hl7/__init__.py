"""Tests of triage/hl7/."""
