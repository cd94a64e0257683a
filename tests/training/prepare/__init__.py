"""Tests of the cohorts' manifests."""
