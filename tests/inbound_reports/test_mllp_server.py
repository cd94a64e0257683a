"""Peers that misbehave: what has no end, no beginning, no sense or no right to be here holds up no other sender."""

from __future__ import annotations

import socket
import ssl
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer
from tests.support.report_sender import Answer, plain, report, station
from tests.support.studies import a_study
from tests.support.wait import wait_for
from triage.errors import StartError
from triage.hl7.mllp_frames import Frames, TooLongError
from triage.inbound_reports.mllp_server import tls_context
from triage.settings.load import SettingsError, load
from triage.settings.reports import ReportsSettings
from triage.spool.spool import Spool


def framed(message: str) -> bytes:
    return b"\x0b" + message.encode() + b"\x1c\r"


def ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1 << 16) == b""
    except ConnectionError:
        return True


def answered(connection: socket.socket) -> Answer:
    content = b""
    while not content.endswith(b"\x1c\r"):
        data = connection.recv(1 << 16)
        assert data, content
        content += data
    return Answer.of(content)


def test_a_message_in_pieces_with_noise_around_it_is_taken(redis_server: RedisServer, spool: Spool) -> None:
    a_study(spool)
    with station(redis_server, spool) as place, plain(place.port) as sender:
        content = b"\r\nnoise" + b"\x0bMSH|^~\\&|broken off" + framed(report())
        for start in range(0, len(content), 7):
            sender.sendall(content[start : start + 7])
        assert answered(sender).code == "AA"
        assert place.listed() == set()


def test_two_messages_at_once_are_both_answered(redis_server: RedisServer, spool: Spool) -> None:
    with station(redis_server, spool) as place, plain(place.port) as sender:
        sender.sendall(framed(report("1")) + framed(report("2")))
        content = b""
        while content.count(b"\x1c\r") < 2:
            content += sender.recv(1 << 16)
        answers = [Answer.of(part + b"\x1c\r") for part in content.split(b"\x1c\r")[:-1]]
        assert [each.about for each in answers] == ["1", "2"]


def test_a_message_that_is_too_long_is_answered_and_its_connection_closed(
    redis_server: RedisServer, spool: Spool
) -> None:
    study = a_study(spool)
    with station(redis_server, spool, max_message_bytes=5000) as place, plain(place.port) as sender:
        sender.sendall(b"\x0b" + report("9").encode() + b"x" * 5000)
        said = answered(sender)
        assert (said.code, said.about) == ("AE", "9")
        assert ended(sender)
        assert (place.counted("malformed"), place.listed()) == (1, {study})


@pytest.mark.parametrize("nonsense", [b"", b"hello", b"MSH", b"MSH|", b"MSH|^~\\&\rPID|\xff", b"MSH||||||||\rOBR"])
def test_nonsense_is_answered_and_the_connection_goes_on(
    redis_server: RedisServer, spool: Spool, nonsense: bytes
) -> None:
    a_study(spool)
    with station(redis_server, spool) as place, plain(place.port) as sender:
        sender.sendall(b"\x0b" + nonsense + b"\x1c\r")
        assert answered(sender).code in ("AE", "AR")
        sender.sendall(framed(report()))
        assert answered(sender).code == "AA"


def test_a_message_that_does_not_end_and_a_silent_peer_are_closed(redis_server: RedisServer, spool: Spool) -> None:
    with station(redis_server, spool, message_timeout_s=0.3, idle_timeout_s=0.6) as place:
        with plain(place.port) as half, plain(place.port) as silent:
            half.sendall(b"\x0bMSH|^~\\&")
            assert ended(half)
            assert ended(silent)
        wait_for(lambda: place.connections() == 0, "both to be forgotten")


def test_a_peer_that_sends_for_ever_is_closed(redis_server: RedisServer, spool: Spool) -> None:
    with station(redis_server, spool, message_timeout_s=0.3) as place, plain(place.port) as endless:
        endless.sendall(b"\x0b")

        def refused() -> bool:
            try:
                endless.sendall(b"x")
            except OSError:
                return True
            return False

        wait_for(refused, "the end of the connection")


def test_connections_that_were_left_open_keep_no_sender_out(redis_server: RedisServer, spool: Spool) -> None:
    a_study(spool)
    with station(redis_server, spool, max_connections=3) as place:
        idle = [plain(place.port) for _ in range(6)]
        wait_for(lambda: place.connections() <= 3, "the limit")
        assert place.send(report()).code == "AA"
        assert place.listed() == set()
        for each in idle:
            each.close()


def test_only_addresses_of_the_settings_may_connect(redis_server: RedisServer, spool: Spool) -> None:
    with station(redis_server, spool, source_addresses=("10.0.0.0/8",)) as place, plain(place.port) as sender:
        assert ended(sender)
    with station(redis_server, spool, source_addresses=("127.0.0.0/8",)) as place:
        assert place.send(report()).code == "AA"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(path), "-out", str(path) + ".crt"]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


def test_over_tls_a_silent_handshake_holds_up_nobody(
    redis_server: RedisServer, spool: Spool, certificate: Path
) -> None:
    study = a_study(spool)
    with station(redis_server, spool, tls_certificate=str(certificate)) as place, plain(place.port):
        with plain(place.port) as in_clear, suppress(ConnectionError):
            in_clear.sendall(framed(report()))
            assert b"MSA" not in in_clear.recv(1 << 16)
        assert place.listed() == {study}
        with plain(place.port, ssl.create_default_context(cafile=f"{certificate}.crt")) as sender:
            sender.sendall(framed(report()))
            assert answered(sender).code == "AA"
        assert place.listed() == set()


def test_a_sender_without_a_certificate_is_not_heard_where_one_is_asked_for(
    redis_server: RedisServer, spool: Spool, certificate: Path
) -> None:
    context = ssl.create_default_context(cafile=f"{certificate}.crt")
    both = {"tls_certificate": str(certificate), "tls_client_ca": f"{certificate}.crt"}
    with station(redis_server, spool, **both) as place:
        with pytest.raises(OSError), plain(place.port, context) as sender:
            sender.sendall(framed(report()))
            if not sender.recv(1 << 16):
                raise ConnectionResetError
        context.load_cert_chain(certificate)
        with plain(place.port, context) as sender:
            sender.sendall(framed(report()))
            assert answered(sender).code == "AA"


def test_settings_that_would_let_anybody_take_studies_off_the_list_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="source_addresses"):
        load(None, {"TRIAGE_REPORTS_PORT": "2575", "TRIAGE_REPORTS_HOST": "0.0.0.0"})
    open_to = {"TRIAGE_REPORTS_PORT": "2575", "TRIAGE_REPORTS_HOST": "0.0.0.0"}
    assert load(None, {**open_to, "TRIAGE_REPORTS_SOURCE_ADDRESSES": "10.1.2.3"}).reports.port == 2575
    for nonsense in ({"tls_client_ca": "ca.pem"}, {"character_set": "EBCDIC"}, {"result_statuses": ()}):
        with pytest.raises(ValueError):
            ReportsSettings(port=1, **nonsense)
    with pytest.raises(StartError):
        tls_context(str(tmp_path / "missing.pem"), "", "")


def test_frames_keep_no_more_than_they_may() -> None:
    frames = Frames(10)
    assert frames.feed(b"x" * 1000) == []
    assert not frames.begun
    assert frames.feed(b"\x0b12345\x1c") == []
    assert frames.feed(b"\r") == [b"12345"]
    with pytest.raises(TooLongError) as long:
        frames.feed(b"\x0b" + b"x" * 11)
    assert long.value.begun == b"x" * 11
