"""Manifests of cohorts, made from the files as their owners publish them; one module each, listed in registry.py."""
