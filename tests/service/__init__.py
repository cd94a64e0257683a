"""Tests of triage/service/."""
