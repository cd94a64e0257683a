"""Chest phantoms drawn by code, for samples, the canary and tests."""
