"""The worklist: its index in Redis, search, acts of readers, and UPS workitems."""
