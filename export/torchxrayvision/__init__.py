"""Models that torchxrayvision publishes, from its checkpoint files; the package itself is not needed."""
