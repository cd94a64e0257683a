"""Tests of what lies in deploy/ and of the runbook."""
