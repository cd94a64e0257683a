"""Authorities and certificates for tests, made by the openssl command."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """PEM files of one holder."""

    path: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """Signs certificates."""

    folder: Path
    path: Path
    key: Path

    def certificate(self, name: str, *, host: str = "IP:127.0.0.1", days: int = 2) -> Certificate:
        """A certificate for ``host`` (a subjectAltName); expired with ``days`` -1. The same name again renews it."""
        made = Certificate(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        request = self.folder / f"{name}.csr"
        _key(made.key)
        _openssl(
            "req",
            "-new",
            "-key",
            made.key,
            "-subj",
            f"/CN={name}",
            "-addext",
            f"subjectAltName={host}",
            "-out",
            request,
        )
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.path, "-CAkey", self.key),
            *("-days", str(days), "-copy_extensions", "copy", "-out", made.path),
        )
        return made

    def revocation_list(self, *revoked: Certificate, expired: bool = False) -> Path:
        """A list (CRL) of what was revoked, in a file of its own for each authority; the same call again renews it."""
        index, made = self.folder / f"{self.path.stem}.index", self.folder / f"{self.path.stem}.crl"
        config = self.folder / f"{self.path.stem}.cnf"
        config.write_text(f"[ca]\ndefault_ca = ours\n[ours]\ndatabase = {index}\ndefault_md = sha256\n")
        index.write_text("")
        ours = ("ca", "-config", config, "-keyfile", self.key, "-cert", self.path)
        for each in revoked:
            _openssl(*ours, "-revoke", each.path)
        past = ("-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20200102000000Z")
        renewed = made.with_suffix(".new")
        _openssl(*ours, "-gencrl", *(past if expired else ("-crldays", "7")), "-out", renewed)
        renewed.rename(made)
        return made


def authority(folder: Path, name: str = "ca") -> Authority:
    """A new authority, its files in ``folder``."""
    made = Authority(folder, folder / f"{name}.pem", folder / f"{name}.key")
    _key(made.key)
    _openssl(
        *("req", "-x509", "-new", "-key", made.key, "-days", "2", "-subj", f"/CN={name}", "-out", made.path),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )
    return made


def server_context(certificate: Certificate, client_ca: Path | None = None) -> ssl.SSLContext:
    """What a server of a test's own speaks TLS with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.path, certificate.key)
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(ca: Path, certificate: Certificate | None = None) -> ssl.SSLContext:
    """What a client of a test's own speaks TLS with."""
    context = ssl.create_default_context(cafile=ca)
    if certificate:
        context.load_cert_chain(certificate.path, certificate.key)
    return context


def _key(path: Path) -> None:
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
