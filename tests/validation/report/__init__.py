"""Tests of triage/validation/report/."""
