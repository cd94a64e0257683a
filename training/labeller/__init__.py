"""The text labeller measured: against MeSH codes, and against a person who read the reports."""
