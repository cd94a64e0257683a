"""The service on three hosts, killed and cut under load: ``make acceptance-hosts`` (docs/reference/acceptance.md)."""
