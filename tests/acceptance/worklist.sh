#!/bin/sh
# Two people, each in a browser of his or her own, at a list of 50,000 studies behind nginx with TLS.
# Usage: [STUDIES=50000] tests/acceptance/worklist.sh [ARGUMENTS OF PYTEST], with a python that has the requirements of
# dev.txt first in PATH. The studies are made in memory (/dev/shm, about 2 GB for 50,000), each as the worker leaves it.
set -eu
cd "$(dirname "$0")/../.."
tests/install_peers.sh
work=$(mktemp -d -p /dev/shm)
trap 'rm -rf "$work"' EXIT
SPOOL="$work/spool" python -m pytest -p no:cacheprovider --no-skips tests/acceptance/worklist.py "$@"
echo "acceptance of the worklist with ${STUDIES:-50000} studies: passed"
