"""The listener of reports when it is told to stop: what has come is answered, and connections end in a pause."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from tests.inbound_reports.test_mllp_server import answered, framed
from tests.support.certificates import authority, client_context
from tests.support.redis_server import RedisServer
from tests.support.report_sender import Station, plain, report, station
from tests.support.studies import a_study
from tests.support.wait import wait_for
from triage.spool.spool import Spool


def hung_up(connection: socket.socket) -> bool:
    """Whether the next thing that comes is the end of the stream; raises for a connection that was reset."""
    return connection.recv(1 << 16) == b""


def open_now(place: Station, count: int) -> None:
    wait_for(lambda: place.connections() == count, f"{count} connections")


def test_a_message_that_has_begun_is_taken_to_its_end_and_answered(redis_server: RedisServer, spool: Spool) -> None:
    a_study(spool)
    with station(redis_server, spool) as place, plain(place.port) as sender:
        message = framed(report("7"))
        sender.sendall(message[:40])
        open_now(place, 1)
        place.stop.set()
        wait_for(lambda: not accepts(place.port), "the port to be closed")
        sender.sendall(message[40:])
        answer = answered(sender)
        assert (answer.code, answer.about) == ("AA", "7")
        assert hung_up(sender)
        assert place.listed() == set()


def test_what_was_sent_at_once_is_answered_one_by_one(redis_server: RedisServer, spool: Spool) -> None:
    """Whatever of it was read before the end: an answer for each, and then the end, without a reset."""
    a_study(spool)
    with station(redis_server, spool) as place, plain(place.port) as sender:
        open_now(place, 1)
        sender.sendall(b"".join(framed(report(str(number))) for number in range(50)))
        place.stop.set()
        received = b""
        while piece := sender.recv(1 << 16):
            received += piece
        assert received.count(b"MSA|AA|") == 50


def test_idle_connections_end_in_order(redis_server: RedisServer, spool: Spool, tmp_path: Path) -> None:
    a_study(spool)
    ca = authority(tmp_path)
    server = ca.certificate("server", host="DNS:localhost")
    tls = {"tls_certificate": server.path, "tls_key": server.key}
    for settings in ({}, tls):
        context = client_context(ca.path) if settings else None
        with (
            station(redis_server, spool, **settings) as place,
            plain(place.port, context) as silent,
            plain(place.port, context) as spoke,
        ):
            if isinstance(spoke, ssl.SSLSocket):  # an end without the goodbye of TLS raises
                spoke.suppress_ragged_eofs = silent.suppress_ragged_eofs = False
            spoke.sendall(framed(report()))
            assert answered(spoke).code == "AA"
            open_now(place, 2)
            place.stop.set()
            assert hung_up(spoke) and hung_up(silent)


def accepts(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0
