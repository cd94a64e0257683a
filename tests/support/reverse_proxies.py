"""Debian's nginx and Apache, on ports and in a folder of their own."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.wait import wait_for

NGINX, APACHE = Path("/usr/sbin/nginx"), Path("/usr/sbin/apache2")
_MODULES = Path("/usr/lib/apache2/modules")
_NEEDED = ("mpm_event", "authz_core", "proxy", "proxy_http", "headers", "alias", "ssl", "socache_shmcb")


def skip_without(program: Path, package: str) -> None:
    """Skip the test, and say why, where a program is not installed."""
    if not program.is_file():
        pytest.skip(f"{program} is not installed (tests/install_peers.sh, or: apt-get install {package})")


@contextmanager
def nginx(folder: Path, servers: str, port: int) -> Iterator[None]:
    """nginx with ``servers`` in its http block and Debian's defaults beside, until it answers at ``port``."""
    skip_without(NGINX, "nginx-light")
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = folder / "nginx.conf"
    user = "user root;\n" if os.getuid() == 0 else ""
    configuration.write_text(
        f"{user}daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
        f"events {{ worker_connections 256; }}\nhttp {{ access_log off;\n{temporary}{servers}\n}}\n"
    )
    with _running([str(NGINX), "-c", str(configuration), "-e", f"{folder}/error.log"], folder, port):
        yield


@contextmanager
def apache(folder: Path, hosts: str, port: int) -> Iterator[None]:
    """Apache with ``hosts`` and the modules that our example names, until it answers at ``port``."""
    skip_without(APACHE, "apache2")
    loaded = "".join(f"LoadModule {name}_module {_MODULES}/mod_{name}.so\n" for name in _NEEDED)
    configuration = folder / "apache.conf"
    user = "User www-data\nGroup www-data\n" if os.getuid() == 0 else ""
    configuration.write_text(
        f"ServerRoot {folder}\nServerName localhost\nPidFile {folder}/apache.pid\nErrorLog {folder}/error.log\n"
        f"DefaultRuntimeDir {folder}\nMutex file:{folder} default\n{loaded}{user}{hosts}\n"
    )
    with _running([str(APACHE), "-f", str(configuration), "-DFOREGROUND"], folder, port):
        yield


@contextmanager
def _running(command: list[str], folder: Path, port: int) -> Iterator[None]:
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_for(lambda: process.poll() is not None or _answers(port), "the proxy")
        assert process.poll() is None, (folder / "output").read_text()
        yield
    finally:
        process.terminate()
        process.wait(20)


def _answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def example(path: Path, ours: str, certificate: Path, key: Path) -> tuple[str, int]:
    """One of the examples of deploy/ with our address, a certificate and a free port; and that port."""
    port = free_port()
    text = path.read_text()
    for before, after in {
        "http://127.0.0.1:8080": ours,
        "/etc/ssl/cxr-triage/certificate.pem": str(certificate),
        "/etc/ssl/cxr-triage/key.pem": str(key),
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "Listen 443": f"Listen 127.0.0.1:{port}",
        "*:443": f"*:{port}",
    }.items():
        text = text.replace(before, after)
    assert ours in text
    return text, port
