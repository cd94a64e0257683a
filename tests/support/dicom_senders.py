"""The real peers that send to us: DCMTK's tools and Orthanc."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any, Self

import pytest
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from tests.support.ports import free_ports
from tests.support.wait import wait_for
from tests.support.whole_service import AE_TITLE, fetch

# By absolute path: pynetdicom puts scripts of the same names into the environment.
DCMTK = Path("/usr/bin")
ORTHANC = "/usr/sbin/Orthanc"

PROPOSE: dict[str, str] = {
    ExplicitVRLittleEndian: "-xe",
    ExplicitVRBigEndian: "-xb",
    ImplicitVRLittleEndian: "-xi",
    DeflatedExplicitVRLittleEndian: "-xd",
    RLELossless: "-xr",
    JPEGLosslessSV1: "-xs",
    JPEGBaseline8Bit: "-xy",
    JPEGExtended12Bit: "-xx",
    JPEG2000Lossless: "-xv",
    JPEG2000: "-xw",
    JPEGLSLossless: "-xt",
    JPEGLSNearLossless: "-xu",
}
"""Transfer syntaxes that DCMTK's storescu can propose for images, each with its option."""


def dcmtk(tool: str) -> Path:
    """The path of one of DCMTK's tools; skips the test where DCMTK is not installed."""
    path = DCMTK / tool
    if not path.exists():
        pytest.skip(f"{tool}: sudo apt-get install dcmtk")
    return path


def run(tool: str, *arguments: str | int | Path) -> subprocess.CompletedProcess[str]:
    """Run one of DCMTK's tools to its end, whatever that is."""
    return subprocess.run([dcmtk(tool), *map(str, arguments)], capture_output=True, text=True, timeout=240)


def storescu(port: int, *arguments: str | int | Path, calling: str = "STORESCU") -> str:
    """Send with DCMTK's storescu; what it said. Its exit status says little: ask the service."""
    done = run("storescu", "-v", "-aet", calling, "-aec", AE_TITLE, *arguments[:-1], "127.0.0.1", port, arguments[-1])
    return done.stdout + done.stderr


def dcmsend(port: int, *paths: Path) -> str:
    """Send with DCMTK's dcmsend; what it said."""
    done = run("dcmsend", "-v", "-aec", AE_TITLE, "127.0.0.1", port, *paths)
    return done.stdout + done.stderr


class Orthanc:
    """An Orthanc of the test's own: files go in over its REST interface, and from there to us over DICOM."""

    def __init__(self, folder: Path, our_port: int) -> None:
        if not Path(ORTHANC).exists():
            pytest.skip("Orthanc: sudo apt-get install orthanc")
        self._http, dicom = range(first := free_ports(2), first + 2)
        self._log = folder / "orthanc.log"
        self._configuration = folder / "orthanc.json"
        configuration = {
            "Name": "e2e",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "HttpPort": self._http,
            "DicomPort": dicom,
            "DicomAet": "ORTHANC",
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomModalities": {"triage": [AE_TITLE, "127.0.0.1", our_port]},
            "Plugins": [],
        }
        self._configuration.write_text(json.dumps(configuration))

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([ORTHANC, self._configuration], stdout=log, stderr=log)
        try:
            wait_for(lambda: self._process.poll() is not None or fetch(self._http, "/system")[0] == 200, "Orthanc")
            assert self._process.poll() is None, self._log.read_text()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(60)
        finally:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(json.loads(self._configuration.read_text())["StorageDirectory"], ignore_errors=True)

    def upload(self, path: Path) -> str:
        """Put a file in; Orthanc's identifier of the instance."""
        return str(self._post("/instances", path.read_bytes())["ID"])

    def send(self, identifiers: list[str]) -> dict[str, Any]:
        """Tell it to send instances to us, and wait until it has; what it says of that."""
        return self._post("/modalities/triage/store", json.dumps(identifiers).encode())

    def _post(self, path: str, body: bytes) -> dict[str, Any]:
        request = urllib.request.Request(f"http://127.0.0.1:{self._http}{path}", data=body, method="POST")
        with urllib.request.urlopen(request, timeout=240) as answer:
            found: dict[str, Any] = json.load(answer)
        return found
