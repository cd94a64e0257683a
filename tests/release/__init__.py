"""Tests of the products of a release: wheels, the Debian package, the bundle."""
