"""Tests of the way from a run to a model folder."""
