"""Tests of triage/runtime/."""
