"""Tests of triage/worklist/."""
