"""Peers that misbehave: what has no end, no beginning, no sense or no right to be here holds up no other sender."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests.support.certificates import Authority, Certificate, authority, client_context
from tests.support.proxy_headers import header
from tests.support.redis_server import RedisServer
from tests.support.report_sender import Answer, plain, report, station
from tests.support.studies import a_study
from tests.support.wait import wait_for
from tests.support.written_log import written_log
from triage.dicom.tls import TLSFailure
from triage.errors import StartError
from triage.inbound_reports.serve import server_tls
from triage.metrics.reports import ReportMetrics
from triage.settings.load import SettingsError, load
from triage.settings.sections.reports import ReportsSettings
from triage.spool.spool import Spool


def framed(message: str | bytes) -> bytes:
    return b"\x0b" + (message.encode() if isinstance(message, str) else message) + b"\x1c\r"


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


@pytest.mark.parametrize("nonsense", [b"hello", b"MSH", b"MSH|", b"MSH|^~\\&\rPID|\xff", b"MSH||||||||\rOBR"])
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


def test_behind_a_proxy_the_peer_s_own_address_counts(redis_server: RedisServer, spool: Spool) -> None:
    a_study(spool)
    behind = {"proxy_protocol_from": ("127.0.0.2",), "source_addresses": ("10.1.2.3",)}
    with station(redis_server, spool, **behind) as place:
        for first in (header("10.1.2.4"), framed(report()), b""):  # another peer; no header; no address of its own
            with proxied(place.port) as sender:
                sender.sendall(first + framed(report()))
                assert ended(sender)
        with proxied(place.port, "127.0.0.3") as stranger:
            assert ended(stranger)
        assert place.counted("read") == 0
        with proxied(place.port) as sender:
            sender.sendall(header("10.1.2.3") + framed(report()))
            assert answered(sender).code == "AA"
        assert place.listed() == set()
        refused = place.registry.get_sample_value("cxr_triage_proxy_headers_refused_total", {"reason": "missing"})
        assert refused == 2


@pytest.mark.parametrize("beginning", [header("10.1.2.3"), b"PROXY TCP4 10.1.2.3 192.0.2.1 40000 2575\r\n"])
def test_a_header_of_a_proxy_that_is_not_named_is_an_error(
    redis_server: RedisServer, spool: Spool, caplog: pytest.LogCaptureFixture, beginning: bytes
) -> None:
    a_study(spool)
    with station(redis_server, spool) as place:
        with plain(place.port) as sender:
            sender.sendall(beginning + framed(report()))
            assert ended(sender)
        assert place.counted("read") == 0 and "begins with a PROXY header" in caplog.text
        assert place.send(report()).code == "AA"


def proxied(port: int, source: str = "127.0.0.2") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(source, 0))


def test_only_addresses_of_the_settings_may_connect(redis_server: RedisServer, spool: Spool) -> None:
    with station(redis_server, spool, source_addresses=("10.0.0.0/8",)) as place, plain(place.port) as sender:
        assert ended(sender)
    with station(redis_server, spool, source_addresses=("127.0.0.0/8",)) as place:
        assert place.send(report()).code == "AA"


SHAPES: dict[str, Callable[[bytes], bytes]] = {
    "segments end with LF": lambda content: framed(content.replace(b"\r", b"\n")),
    "segments end with CR LF": lambda content: framed(content.replace(b"\r", b"\r\n")),
    "0x0B in the text": lambda content: framed(content.replace(b"No finding", b"No\x0bfinding")),
    "0x1C in the text": lambda content: framed(content.replace(b"No finding", b"No\x1cfinding")),
    "a line feed in the text": lambda content: framed(content.replace(b"No finding", b"No\nOBR|2|\nfinding")),
    "no start byte": lambda content: content + b"\x1c\r",
    "the end is 0x1C alone": lambda content: b"\x0b" + content + b"\x1c",
    "a byte order mark": lambda content: framed(b"\xef\xbb\xbf" + content),
    "a batch of one": lambda content: framed(b"FHS|^~\\&\rBHS|^~\\&\r" + content + b"BTS|1\rFTS|1\r"),
    "a connection kept alive": lambda content: framed(b"") + framed(b"\x06") + framed(content) + framed(b""),
    "an answer to an answer": lambda content: framed(content) + framed(b"MSH|^~\\&|||||||ACK|1|P|2.5\rMSA|AA|9\r"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_report_is_one_however_it_is_written(redis_server: RedisServer, spool: Spool, shape: str) -> None:
    a_study(spool)
    with station(redis_server, spool) as place, plain(place.port) as sender:
        sender.sendall(SHAPES[shape](report("7").encode()))
        said = answered(sender)
        assert (said.code, said.about, place.listed()) == ("AA", "7", set())
        sender.sendall(framed(report("8")))
        assert answered(sender).about == "8", "and nothing else was answered"


def test_what_is_sent_outside_of_messages_is_said_once(redis_server: RedisServer, spool: Spool) -> None:
    with written_log() as log, station(redis_server, spool) as place:
        for _ in range(20):
            with plain(place.port) as stranger:
                stranger.sendall(b"GET / HTTP/1.1\r\nHost: DOE^JANE\r\n\r\n" + framed(report()))
                answered(stranger)
    lines = [line for line in log.getvalue().splitlines() if "belong to no message" in line]
    assert len(lines) == 1
    assert "DOE" not in lines[0]


def test_while_nothing_comes_nothing_is_logged(
    redis_server: RedisServer, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "triage")
    with station(redis_server, spool) as place, plain(place.port) as silent:
        wait_for(lambda: place.connections() == 1, "the connection")
        caplog.clear()
        silent.settimeout(3.0)
        with suppress(TimeoutError):
            silent.recv(1)
        assert caplog.records == []


# TLS: the rules are those of the DICOM port, which tests/dicom/test_tls.py has more of.


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return authority(tmp_path)


@pytest.fixture
def ours(ca: Authority) -> Certificate:
    return ca.certificate("reports", host="DNS:localhost")


def files(ours: Certificate, **others: Path) -> dict[str, str]:
    return {"tls_certificate": str(ours.path), "tls_key": str(ours.key), **{k: str(v) for k, v in others.items()}}


def heard(port: int, context: ssl.SSLContext) -> bool:
    """Whether a report over TLS is acknowledged."""
    try:
        with plain(port, context) as sender:
            sender.sendall(framed(report()))
            return answered(sender).code == "AA"
    except (OSError, AssertionError):
        return False


def test_over_tls_a_silent_handshake_holds_up_nobody(
    redis_server: RedisServer, spool: Spool, ca: Authority, ours: Certificate
) -> None:
    study = a_study(spool)
    with station(redis_server, spool, **files(ours)) as place, plain(place.port):
        with plain(place.port) as in_clear, suppress(ConnectionError):
            in_clear.sendall(framed(report()))
            assert b"MSA" not in in_clear.recv(1 << 16)
        assert place.listed() == {study}
        assert heard(place.port, client_context(ca.path))
        assert place.listed() == set()
        wait_for(lambda: place.no_tls(TLSFailure.NOT_TLS) == 1, "the count")


def test_certificates_are_renewed_and_revoked_without_a_restart(
    redis_server: RedisServer, spool: Spool, ca: Authority, ours: Certificate, caplog: pytest.LogCaptureFixture
) -> None:
    a_study(spool)
    good, lost = ca.certificate("good"), ca.certificate("lost")
    crl = ca.revocation_list()
    with station(redis_server, spool, **files(ours, tls_client_ca=ca.path, tls_client_crl=crl)) as place:
        assert not heard(place.port, client_context(ca.path))
        wait_for(lambda: place.no_tls(TLSFailure.NO_CERTIFICATE) == 1, "the count")
        assert [heard(place.port, client_context(ca.path, each)) for each in (good, lost)] == [True, True]
        ca.revocation_list(lost)
        assert [heard(place.port, client_context(ca.path, each)) for each in (good, lost)] == [True, False]
        wait_for(lambda: place.no_tls(TLSFailure.REVOKED) == 1, "the count")
        before = serial(place.port, client_context(ca.path, good))
        ca.certificate("reports", host="DNS:localhost")
        assert serial(place.port, client_context(ca.path, good)) != before
        assert place.registry.get_sample_value(
            "cxr_triage_tls_certificate_not_after_timestamp_seconds", {"use": "reports"}
        )
        assert place.registry.get_sample_value("cxr_triage_tls_crl_next_update_timestamp_seconds", {"use": "reports"})
    wait_for(lambda: "its authority has revoked its certificate" in caplog.text, "the line")


def serial(port: int, context: ssl.SSLContext) -> object:
    with plain(port, context) as secure:
        return secure.getpeercert()["serialNumber"]


def test_old_versions_and_ciphers_are_refused(
    redis_server: RedisServer, spool: Spool, ca: Authority, ours: Certificate
) -> None:
    old = client_context(ca.path)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.set_ciphers("ECDHE+AES:!AESGCM:!AESCCM@SECLEVEL=0")
    with station(redis_server, spool, **files(ours)) as place:
        assert not heard(place.port, old)
        wait_for(lambda: place.no_tls(TLSFailure.NOTHING_COMMON) == 1, "the count")


def test_certificate_and_key_may_be_one_file(
    redis_server: RedisServer, spool: Spool, ca: Authority, ours: Certificate
) -> None:
    ours.path.write_text(ours.path.read_text() + ours.key.read_text())
    with station(redis_server, spool, tls_certificate=str(ours.path)) as place:
        assert heard(place.port, client_context(ca.path))


def test_files_that_cannot_be_used_stop_the_start_and_name_the_settings(tmp_path: Path) -> None:
    settings = ReportsSettings(port=1, tls_certificate=str(tmp_path / "missing.pem"))
    with pytest.raises(StartError, match=r"reports\.tls_certificate.*missing\.pem: No such file"):
        server_tls(settings, ReportMetrics(CollectorRegistry()))


def test_settings_that_would_let_anybody_take_studies_off_the_list_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="source_addresses"):
        load(None, {"TRIAGE_REPORTS_PORT": "2575", "TRIAGE_REPORTS_HOST": "0.0.0.0"})
    open_to = {"TRIAGE_REPORTS_PORT": "2575", "TRIAGE_REPORTS_HOST": "0.0.0.0"}
    open_to["TRIAGE_REPORTS_SOURCE_ADDRESSES"] = "10.1.2.3"
    with pytest.raises(SettingsError, match="sending_applications"):
        load(None, open_to)
    assert load(None, {**open_to, "TRIAGE_REPORTS_SENDING_APPLICATIONS": "RIS"}).reports.port == 2575
    assert load(None, {**open_to, "TRIAGE_REPORTS_SENDING_FACILITIES": "HOSPITAL"}).reports.port == 2575
    for nonsense in (
        {"tls_client_ca": "ca.pem"},
        {"tls_client_crl": "crl.pem"},
        {"same_issuers": ("A",)},
        {"character_set": "EBCDIC"},
        {"result_statuses": ()},
    ):
        with pytest.raises(ValueError):
            ReportsSettings(port=1, **nonsense)
