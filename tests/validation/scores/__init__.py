"""Tests of triage/validation/scores/."""
