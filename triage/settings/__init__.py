"""Settings: schema, loading, and the generated reference."""
