"""The whole service under load for half an hour: ``make acceptance-soak`` (docs/reference/acceptance.md)."""
