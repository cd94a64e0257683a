"""Helpers of the tests: real peers, services in processes, builders of objects and cohorts."""
