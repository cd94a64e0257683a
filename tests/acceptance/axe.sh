#!/bin/sh
# Every view of the worklist page by the rules of axe-core, in Debian's Chromium. Needs npm's registry.
# Usage: tests/acceptance/axe.sh [ARGUMENTS OF PYTEST], with a python that has the requirements of dev.txt first in PATH.
set -eu
cd "$(dirname "$0")/../.."
tests/install_peers.sh
if ! command -v npm >/dev/null; then
    [ "$(id -u)" = 0 ] || { echo "install npm, please" >&2; exit 1; }
    apt-get update -qq && apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm install --silent --no-fund --no-audit "axe-core@^4")
AXE="$work/node_modules/axe-core/axe.min.js" python -m pytest -p no:cacheprovider --no-skips tests/acceptance/axe.py "$@"
echo "acceptance of accessibility: passed"
