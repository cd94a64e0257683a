"""Tests of triage/web/api/."""
