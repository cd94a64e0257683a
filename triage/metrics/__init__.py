"""Prometheus metrics, a file for each process."""
