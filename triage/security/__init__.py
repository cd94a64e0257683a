"""Users, passwords, roles and the audit trail."""
