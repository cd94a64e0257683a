"""The real S3 store that tests/acceptance/cluster.sh starts, named by the environment."""

from __future__ import annotations

import os

from tests.support.s3_peer import ACCESS_KEY, BUCKET, SECRET_KEY
from triage.spool.cluster.address import BucketAddress


def real_address() -> BucketAddress:
    """Its address. Only tests that are marked `cluster` ask for it: KeyError elsewhere."""
    return BucketAddress(os.environ["TRIAGE_TEST_S3"], BUCKET, ACCESS_KEY, SECRET_KEY)
