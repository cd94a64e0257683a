"""Tests lie as the code does: of triage/web/ in web/, of triage/spool/spool.py in test_spool.py; e2e/ has all of it."""
