"""What `triage check` tries before the service is started. Nothing is changed, and nothing of a patient's is sent."""
