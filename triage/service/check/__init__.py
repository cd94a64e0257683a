"""The checks of `triage check`: they change nothing and send no patient data."""
