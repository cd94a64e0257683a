"""Authentication, authorisation and audit of HTTP requests."""
