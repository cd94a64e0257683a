"""Tests that run whole processes against real peers."""
