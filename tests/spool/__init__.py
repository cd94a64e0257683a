"""Tests of triage/spool/."""
