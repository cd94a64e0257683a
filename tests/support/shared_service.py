"""The whole service on a store of PostgreSQL and S3."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Self

from tests.support.redis_server import RedisServer
from tests.support.whole_service import Service
from triage.spool.cluster.address import ClusterAddress
from triage.spool.cluster.cluster_store import ClusterStore
from triage.spool.open_store import store_at


class SharedService(Service):
    """The service on a store of PostgreSQL and S3."""

    def __init__(self, folder: Path, models: Path, address: ClusterAddress, **settings: str | int) -> None:
        database, bucket = address.database, address.bucket
        secret = folder.parent / "secret-key"
        secret.write_text(bucket.secret_key + "\n")
        config = folder.parent / "triage.toml"
        config.write_text(
            f'[data]\npath = "{folder}"\n[store]\nkind = "postgres+s3"\ntenant = "{address.tenant}"\n'
            f'scratch = "{address.scratch}"\nlease_s = {address.lease_s}\n'
            f'[postgres]\nhost = "{database.host}"\nport = {database.port}\ndatabase = "{database.database}"\n'
            f'user = "{database.user}"\ntls = false\n'
            f'[s3]\nendpoint = "{bucket.endpoint}"\nbucket = "{bucket.bucket}"\naccess_key = "{bucket.access_key}"\n'
            f'secret_key_file = "{secret}"\ntimeout_s = 5\n'
        )
        # A site's own Redis, which several services may share by their settings.
        self._redis = None if "redis_url" in settings else RedisServer()
        if self._redis is not None:
            settings = {**settings, "redis_url": self._redis.url}
        super().__init__(folder, models, config=config, **settings)
        self._redis_url = str(settings["redis_url"])
        self.address = address
        self._store: ClusterStore | None = None

    def __enter__(self) -> Self:
        if self._redis is not None:
            self._redis.start()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        if self._redis is not None:
            self._redis.__exit__()
        if self._store is not None:
            self._store.close()

    @property
    def redis_url(self) -> str:
        return self._redis_url

    @property
    def spool(self) -> Any:
        """The store, for this process."""
        if self._store is None:
            found = store_at(self.address)
            assert isinstance(found, ClusterStore)
            self._store = found
        return self._store

    def run(self, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """A command with the service's settings."""
        command = [self.program, *self._options, *words]
        return subprocess.run(command, env=self.environment, input=typed, capture_output=True, text=True, timeout=240)
