#!/bin/sh
# A model at an MLServer on loopback. MLServer goes into an environment of its own, outside the tree: its pins clash with
# ours. Needs PyPI.
# Usage: tests/acceptance/protocol.sh [ARGUMENTS OF PYTEST], with a python that has the requirements of dev.txt first in PATH.
set -eu
cd "$(dirname "$0")/../.."
tests/install_peers.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python -m venv "$work/mlserver"
"$work/mlserver/bin/python" -m pip install --quiet --disable-pip-version-check "mlserver==1.7.*"
python -m pytest -p no:cacheprovider --no-skips tests/acceptance/protocol.py --mlserver "$work/mlserver/bin/mlserver" "$@"
echo "acceptance of a model at a server: passed"
