"""Ways out: a folder for each. See triage/channels/base.py for what they have in common."""
