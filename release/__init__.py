"""From a checkout to what a hospital installs: wheels, a Debian package, a bundle for machines without a network.

Not part of any of them.
"""
