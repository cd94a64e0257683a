"""Measurement of the text labeller: against MeSH codes, and against a person who read the reports."""
