"""Tests of triage/web/http/."""
