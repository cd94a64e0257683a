"""Tests of triage/validation/measures/."""
