"""Tests of triage/scoring/."""
