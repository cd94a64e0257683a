"""The whole service under load for half an hour: ``make acceptance-soak``, what docs/reference/acceptance.md reports of."""
