"""Expiry of real certificates and revocation lists, made by openssl and by cryptography, whole and damaged."""

from __future__ import annotations

import base64
import math
import ssl
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.certificates import Authority, authority
from triage.dicom.certificates import CertificateError, first_certificate, next_update, not_after

READERS = {"CERTIFICATE": not_after, "X509 CRL": next_update}


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def files(ca: Authority) -> dict[str, Path]:
    return {"CERTIFICATE": ca.certificate("whole").path, "X509 CRL": ca.revocation_list()}


def pem(label: str, der: bytes) -> bytes:
    return b"-----BEGIN %s-----\n%s-----END %s-----\n" % (label.encode(), base64.encodebytes(der), label.encode())


def der_of(path: Path) -> bytes:
    lines = path.read_text().splitlines()
    return base64.b64decode("".join(lines[1:-1]))


def openssl_says(command: str, path: Path, option: str) -> float:
    """The date as the openssl command reads it, in POSIX seconds."""
    arguments = ["openssl", command, "-in", str(path), "-noout", option]
    text = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    return ssl.cert_time_to_seconds(text.strip().partition("=")[2])


def test_the_expiry_is_read_as_openssl_reads_it(ca: Authority):
    for days in (2, 20000):  # UTCTime until 2049, GeneralizedTime from 2050 on
        path = ca.certificate(f"days{days}", days=days).path
        assert not_after(path) == openssl_says("x509", path, "-enddate")
        assert first_certificate(path) == ssl.PEM_cert_to_DER_cert(path.read_text())


def test_the_end_of_a_list_is_read_as_openssl_reads_it(ca: Authority):
    for expired in (False, True):
        crl = ca.revocation_list(ca.certificate("lost"), expired=expired)
        assert next_update(crl) == openssl_says("crl", crl, "-nextupdate")
    ahead = ca.revocation_list()
    ahead.write_text(ahead.read_text() + ca.revocation_list(expired=True).read_text())
    assert next_update(ahead) < time.time(), "the first of several that expires"


def test_a_list_without_a_next_update_never_expires(tmp_path: Path, files: dict[str, Path]):
    der = der_of(files["X509 CRL"])
    times = [at for at in range(len(der) - 15) if der[at : at + 2] == b"\x17\x0d" and der[at + 14 : at + 15] == b"Z"]
    (_, next_at) = times  # thisUpdate, nextUpdate; the outer lengths are 15 bytes less without the latter
    shorter = bytearray(der[:next_at] + der[next_at + 15 :])
    for at in (0, 3 if der[1] == 0x81 else 4 if der[1] == 0x82 else 2):
        width = {0x81: 1, 0x82: 2}.get(shorter[at + 1], 0)
        place = slice(at + 2, at + 2 + width) if width else slice(at + 1, at + 2)
        length = int.from_bytes(shorter[place], "big") - 15
        assert not width or length > 0x7F, "the form of the length stays"
        shorter[place] = length.to_bytes(width or 1, "big")
    path = tmp_path / "endless.crl"
    path.write_bytes(pem("X509 CRL", bytes(shorter)))
    text = subprocess.run(
        ["openssl", "crl", "-in", str(path), "-noout", "-nextupdate"], check=True, capture_output=True, text=True
    ).stdout
    assert text.strip() == "nextUpdate=NONE"
    assert next_update(path) == math.inf


@pytest.mark.parametrize("label", READERS)
def test_what_stands_around_a_block_does_not_matter(tmp_path: Path, ca: Authority, files: dict[str, Path], label: str):
    whole, path = files[label].read_bytes(), tmp_path / "bundle.pem"
    wanted = READERS[label](files[label])
    for content in (
        ca.key.read_bytes() + whole,
        b"\xef\xbb\xbf# Z\xc3\xbcrich, and Latin-1: \xfc\r\n" + whole.replace(b"\n", b"\r\n"),
        b"-----BEGIN EC PRIVATE KEY-----\nhalf of a\n" + whole,
        whole + b"-----BEGIN " + label.encode() + b"-----\nAAAA",
    ):
        path.write_bytes(content)
        assert READERS[label](path) == wanted


@pytest.mark.parametrize("label", READERS)
def test_a_damaged_file_is_refused_by_its_name(tmp_path: Path, files: dict[str, Path], label: str):
    der, path = der_of(files[label]), tmp_path / "damaged.pem"
    damaged = [b"", b"\x30", b"\x30\x03\x02\x01\x01", bytes(20), der[:-1], der[: len(der) // 2], der + b"\0"]
    damaged += [bytes([*der[:at], der[at] ^ 0xFF, *der[at + 1 :]]) for at in range(0, 12)]
    for each in damaged:
        path.write_bytes(pem(label, each))
        with pytest.raises(CertificateError, match=r"damaged\.pem: no X\.509 certificate"):
            READERS[label](path)
    path.write_bytes(files[label].read_bytes().replace(b"\nM", b"\n!", 1))
    with pytest.raises(CertificateError, match="not in PEM"):
        READERS[label](path)
    path.write_text("half of a")
    with pytest.raises(CertificateError, match=r"damaged\.pem has no certificate.* in PEM"):
        READERS[label](path)
    with pytest.raises(FileNotFoundError):
        READERS[label](tmp_path / "missing.pem")


@pytest.mark.parametrize("label", READERS)
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")  # of odd serial numbers
def test_no_change_of_one_byte_raises_anything_else(tmp_path: Path, files: dict[str, Path], label: str):
    der, path = der_of(files[label]), tmp_path / "changed.pem"
    for at in range(0, len(der), 3):
        path.write_bytes(pem(label, bytes([*der[:at], (der[at] + 0x55) % 256, *der[at + 1 :]])))
        with suppress(CertificateError):
            assert READERS[label](path) > 0
