"""A real SeaweedFS of the test's own on loopback: all its servers in one process, ended by its ID."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Self

from tests.support.ports import free_ports
from tests.support.s3_peer import ACCESS_KEY, BUCKET, SECRET_KEY
from tests.support.wait import wait_for
from triage.spool.cluster.address import BucketAddress
from triage.spool.cluster.s3_client import Body, S3Client
from triage.spool.cluster.s3_signature import S3Request

_SERVERS = ("master", "volume", "filer", "s3")
_RIGHTS = ["Read", "Write", "List", "Admin"]
_VERSIONS = (
    b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    b"<Status>Enabled</Status></VersioningConfiguration>"
)


class SeaweedServer:
    """One SeaweedFS with one bucket. It sends no telemetry, as it is told not to.


    ``where`` are the words before its command, for one that runs at ``host`` of another network. ``volumes``: of 64 MB
    each, which are all the space that it has. ``below``: where its
    folder is made, if not among the temporary ones.
    """

    def __init__(
        self,
        program: str,
        host: str = "127.0.0.1",
        where: Sequence[str] = (),
        volumes: int = 32,
        below: Path | None = None,
    ) -> None:
        self.program, self.host, self.where, self.volumes = program, host, where, volumes
        self.folder = Path(tempfile.mkdtemp(prefix="cxr-seaweed-", dir=below))
        first = free_ports(2 * len(_SERVERS))
        self.ports = {name: first + 2 * number for number, name in enumerate(_SERVERS)}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process_id(self) -> int:
        """The ID of its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def address(self) -> BucketAddress:
        """The address of its bucket."""
        return BucketAddress(f"http://{self.host}:{self.ports['s3']}", BUCKET, ACCESS_KEY, SECRET_KEY)

    def __enter__(self) -> Self:
        (self.folder / "data").mkdir()
        user = {"credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}], "actions": _RIGHTS}
        (self.folder / "s3.json").write_text(json.dumps({"identities": [{"name": "triage", **user}]}))
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start it and wait until its bucket is there."""
        ports = [f"-{name}.port={port}" for name, port in self.ports.items()]
        ports += [f"-{name}.port.grpc={port + 1}" for name, port in self.ports.items()]
        options = ["-s3", f"-s3.config={self.folder}/s3.json", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        bounds = ["-master.telemetry=false", "-master.volumeSizeLimitMB=64", f"-volume.max={self.volumes}"]
        places = [f"-dir={self.folder}/data", f"-ip={self.host}", f"-ip.bind={self.host}"]
        with (self.folder / "log").open("ab") as log:
            command = [*self.where, self.program, "server", *places, *ports, *options, *bounds]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        wait_for(self._has_a_bucket, "SeaweedFS to have a bucket", timeout_s=90.0)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it: SIGTERM in order, SIGKILL as a crash does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def keep_versions(self) -> None:
        """Have the bucket keep versions of what is deleted."""
        client = S3Client(self.address)
        request = S3Request("PUT", client.path(), {"versioning": ""}, payload=sha256(_VERSIONS).hexdigest())
        client.ask(request, (200,), Body(lambda: (_VERSIONS,), len(_VERSIONS)))

    def _has_a_bucket(self) -> bool:
        client = S3Client(self.address, ())
        try:
            client.ask(S3Request("PUT", client.path()), (200, 409))
        except OSError:
            return False
        return True
