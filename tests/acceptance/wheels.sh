#!/bin/sh
# Both wheels in a fresh environment with the pinned packages and nothing else: twine's check, and the demonstration.
# Needs the package index. Usage: tests/acceptance/wheels.sh, with a python that has the requirements of dev.txt first in PATH.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python -m release wheels --out "$work/wheels"
python -m venv "$work/twine"
"$work/twine/bin/pip" install --quiet --disable-pip-version-check "twine>=6,<7"
"$work/twine/bin/twine" check --strict "$work"/wheels/*.whl

python -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: -r requirements/serve-cpu.txt
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-index "$work"/wheels/*.whl
"$work/venv/bin/pip" check

mkdir "$work/empty"
cd "$work/empty"
env -i HOME="$work/empty" PATH=/usr/bin:/bin "$work/venv/bin/triage" demo --exit
echo "acceptance of the wheels: passed"
