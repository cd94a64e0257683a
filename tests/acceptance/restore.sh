#!/bin/sh
# A restore of the store that hosts share, by the steps of docs/how-to/several-hosts.md: a real PostgreSQL from its base
# backup and its archived WAL to a time, a real SeaweedFS with versioning, and the service on both.
# Usage: tests/acceptance/restore.sh [ARGUMENTS OF PYTEST], with a python that has the requirements of dev.txt first in
# PATH.
. "$(dirname "$0")/shared_store.sh"
python -m pytest -p no:cacheprovider --no-skips --cluster --weed "$weed" tests/acceptance/restore.py "$@"
echo "a restore of PostgreSQL and a bucket to one time: passed"
