"""Tests: one file per module, plus e2e/ against real peers."""
