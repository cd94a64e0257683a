#!/bin/sh
# A site of two hosts on one PostgreSQL and one SeaweedFS, upgraded host by host under load, from the program of an
# earlier commit: nothing is refused, lost or done twice.
# Usage: [PREVIOUS=COMMIT] tests/acceptance/upgrade.sh [ARGUMENTS OF PYTEST], in a clone that has the history, with a
# python that has the requirements of dev.txt first in PATH.
. "$(dirname "$0")/shared_store.sh"
# The last commit of before schema 0009. After a release: its tag.
previous=${PREVIOUS:-6be9c099}
git rev-parse --quiet --verify "$previous^{commit}" >/dev/null || {
    echo "commit $previous is not here: git fetch --unshallow, or name another one by PREVIOUS" >&2
    exit 1
}
python -m pytest -p no:cacheprovider --no-skips --cluster --weed "$weed" --previous "$previous" \
  tests/acceptance/upgrade.py "$@"
echo "acceptance of an upgrade host by host from $previous: passed"
