"""Tests of triage/delivery/."""
