"""Measures of a validated cohort: figures, subgroups, bars, comparisons."""
