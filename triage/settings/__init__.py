"""Settings: their schema, the sources that they are read from, and the reference that is generated from them."""
