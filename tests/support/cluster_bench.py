"""A bench of one batch on a store in PostgreSQL: fixtures for the modules that import them."""

from __future__ import annotations

import pytest

from tests.scoring.test_batch import Bench, sessions
from tests.support.cluster import Cluster
from triage.model.session import ModelSession
from triage.runtime.child_pool import DecodePool
from triage.spool.cluster.cluster_store import ClusterStore

__all__ = ["bench", "sessions", "store"]


@pytest.fixture
def store(cluster: Cluster) -> ClusterStore:
    return cluster.open()


@pytest.fixture
def bench(store: ClusterStore, sessions: dict[str, ModelSession], pool: DecodePool) -> Bench:
    return Bench(store, sessions, pool)  # type: ignore[arg-type]
