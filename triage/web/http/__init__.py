"""HTTP building blocks: middleware, static files, problem responses."""
