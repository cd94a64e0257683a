#!/bin/sh
# Sign-in at panva's oidc-provider, with Debian's Chromium and nginx between. Needs npm's registry; Node.js 20 or later
# is installed from Debian where it is not there and Debian has it.
# Usage: tests/acceptance/oidc.sh [ARGUMENTS OF PYTEST], with a python that has the requirements of dev.txt first in PATH.
set -eu
cd "$(dirname "$0")/../.."
tests/install_peers.sh
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    [ "$(id -u)" = 0 ] || { echo "install nodejs and npm, please" >&2; exit 1; }
    apt-get update -qq && apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp tests/acceptance/oidc_provider.mjs "$work/"
(cd "$work" && npm install --silent --no-fund --no-audit "oidc-provider@^9")
python -m pytest -p no:cacheprovider --no-skips tests/acceptance/oidc.py --provider "$work/oidc_provider.mjs" "$@"
echo "acceptance of sign-in at an identity provider: passed"
