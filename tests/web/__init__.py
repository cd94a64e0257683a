"""Tests of the web process: pages, API, sign-in, UPS-RS."""
