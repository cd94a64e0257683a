"""Tests of triage/validation/cohort/."""
