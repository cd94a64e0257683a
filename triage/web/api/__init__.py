"""The JSON API and UPS-RS: one file for each resource."""
