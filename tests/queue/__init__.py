"""Tests of triage/queue/."""
