"""Tests of triage/phantom/."""
