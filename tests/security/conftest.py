"""The places of access, for tests of both implementations."""

from tests.support.access_fixtures import places, postgres_server, pytest_generate_tests, shared

__all__ = ["places", "postgres_server", "pytest_generate_tests", "shared"]
