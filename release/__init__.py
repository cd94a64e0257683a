"""Build of the products that a hospital installs: wheels, a Debian package, a bundle for machines without a network.

This code is part of none of them.
"""
