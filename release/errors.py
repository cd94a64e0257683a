"""What keeps a release from being built."""


class ReleaseError(Exception):
    """Something a person has to put right before it can be built; the message says what."""
