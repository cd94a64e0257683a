"""Tests of triage/listener/."""
