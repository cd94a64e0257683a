#!/bin/sh
# The store that hosts share: its contract and its faults on a real PostgreSQL and a real SeaweedFS on loopback, and the
# service on it.
# Usage: tests/acceptance/cluster.sh [ARGUMENTS OF PYTEST], with a python that has the requirements of dev.txt first in
# PATH.
. "$(dirname "$0")/shared_store.sh"
# First with objects in files: a fault there is none of the S3 store.
python -m pytest -p no:cacheprovider --no-skips --cluster --weed "$weed" tests/spool tests/service/cluster tests/worklist/test_worklist_contract.py "$@"
# The store once more, on tables as the next release may have widened them.
python -m pytest -p no:cacheprovider --no-skips --cluster --later-schema tests/spool tests/worklist/test_worklist_contract.py "$@"
python -m pytest -p no:cacheprovider --no-skips --cluster tests/security tests/web/auth/test_sessions.py \
  tests/web/auth/test_throttle.py tests/web/auth/test_two_hosts.py "$@"
python -m pytest -p no:cacheprovider --no-skips --cluster --weed "$weed" tests/acceptance/cluster.py "$@"
echo "acceptance of a store in PostgreSQL and S3: passed"
