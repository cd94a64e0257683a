"""The processes of the service: one file for each, and ``triage up``, which supervises them."""
