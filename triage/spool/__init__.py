"""The interface to everything durable, what every room reads of a study by it, and the store of files behind it."""
