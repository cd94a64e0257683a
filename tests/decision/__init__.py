"""Tests of triage/decision/."""
