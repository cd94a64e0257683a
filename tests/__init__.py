"""Tests mirror the code: those of triage/web/ lie in web/; e2e/ is the whole service, support/ are helpers."""
