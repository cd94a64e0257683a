#!/bin/sh
# The store in PostgreSQL and S3: the contract of both implementations, and what happens to it when processes, sessions,
# servers and standbys go away. Debian's postgresql is installed where it is missing; the tests start their own.
# Usage: tests/acceptance/cluster.sh [ARGUMENTS OF PYTEST], with a python that has the requirements of dev.txt first in PATH.
set -eu
cd "$(dirname "$0")/../.."
if ! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null
fi
python -m pytest -p no:cacheprovider --no-skips --cluster tests/spool/test_store_contract.py tests/spool/cluster "$@"
echo "acceptance of the store in PostgreSQL and S3: passed"
