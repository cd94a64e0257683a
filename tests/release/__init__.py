"""Tests of what is given away: wheels, the Debian package, the bundle."""
