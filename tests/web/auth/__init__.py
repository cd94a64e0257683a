"""Tests of triage/web/auth/."""
