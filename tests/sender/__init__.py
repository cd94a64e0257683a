"""Tests of triage/sender/."""
