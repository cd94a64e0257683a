"""The HTTP side: worklist API, health and metrics."""
