"""Tests of triage/report_labeller/."""
