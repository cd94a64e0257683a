"""Tests of triage/metrics/."""
