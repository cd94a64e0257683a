"""Tests of triage/statistics/."""
