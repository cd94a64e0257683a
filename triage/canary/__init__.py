"""The canary: a generated study that goes the whole way, and is listed and counted nowhere (docs/adr/0021)."""
