"""All that we use of pynetdicom beyond its documented interface.

``tests/dicom/test_pynetdicom_internals.py`` fails where a release of the library changes one of these.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pynetdicom import _config
from pynetdicom.association import Association

_ANSWER_S = 5.0


def connected_socket(association: Association) -> socket.socket | None:
    """Return the socket, or TLS socket, of an association; None when the connection is closed."""
    wrapper = association.dul.socket
    connected: socket.socket | None = wrapper.socket if wrapper else None
    return connected


def replace_reader(association: Association, read: Callable[[int], bytearray]) -> None:
    """Have pynetdicom call ``read`` with the number of bytes that it needs next of the connection."""
    wrapper = association.dul.socket
    if wrapper is not None:
        wrapper.recv = read  # type: ignore[method-assign, assignment]  # there is no other place to bound what is read


def await_answer(association: Association) -> None:
    """Wait until pynetdicom's thread has recorded the peer's answer: ``AE.associate`` may return before."""
    if not association.is_established and association.is_alive():
        association.join(_ANSWER_S)


def rejection(association: Association) -> tuple[int, int] | None:
    """Return source and reason of the A-ASSOCIATE-RJ (PS3.8 9.3.4); None if the peer sent none."""
    primitive = association.acceptor.primitive
    if not association.is_rejected or primitive is None:
        return None
    return primitive.result_source or 0, primitive.diagnostic or 0


def is_complete(association: Association) -> bool:
    """Return whether the A-ASSOCIATE-AC has what every message needs (PS3.8 9.3.3).

    pynetdicom establishes the association without it, and raises when the first message is sent.
    """
    contexts = association.accepted_contexts
    return association.acceptor.maximum_length is not None and all(each.transfer_syntax for each in contexts)


@contextmanager
def files_unparsed() -> Iterator[None]:
    """Have ``send_c_store`` send the data set in a file byte for byte; else it decodes and encodes it again.

    A switch of the whole library, which is read before ``send_c_store`` returns.
    """
    before = _config.STORE_SEND_CHUNKED_DATASET
    _config.STORE_SEND_CHUNKED_DATASET = True
    try:
        yield
    finally:
        _config.STORE_SEND_CHUNKED_DATASET = before
