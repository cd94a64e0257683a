"""Tests of triage/operations/."""
