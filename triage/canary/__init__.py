"""The canary: a generated study that passes through the whole service, listed and counted nowhere (docs/adr/0021)."""
