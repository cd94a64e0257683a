#!/bin/sh
# Installs cxr-triage from this folder, without a network. Usage: ./install.sh FOLDER [PUBLIC_KEY]
# FOLDER is made, an environment of Python. With PUBLIC_KEY (minisign's, a file or the key itself) the signature is
# checked first; without one only the digests are, which whoever changed a file could have changed too.
set -eu
umask 022 # a service has a user of its own, who has to read it
target=${1:?usage: ./install.sh FOLDER [PUBLIC_KEY]}
key=${2:-}
cd "$(dirname "$0")"
python=${PYTHON:-python3}

if [ -n "$key" ]; then
    if [ -e "$key" ]; then option=-p; else option=-P; fi
    minisign -V -q "$option" "$key" -m SHA256SUMS || {
        echo "install.sh: SHA256SUMS was not signed with this key, or was changed since: install nothing of this" >&2
        exit 1
    }
else
    echo "install.sh: no public key was given: nothing shows where these files come from" >&2
fi
sha256sum --check --quiet --strict SHA256SUMS
# What is in no list is in no signature: it could be a package that pip prefers.
listed=$(cut -c67- SHA256SUMS | LC_ALL=C sort)
here=$(find . -type f ! -name SHA256SUMS ! -name SHA256SUMS.minisig | cut -c3- | LC_ALL=C sort)
[ "$listed" = "$here" ] || { echo "install.sh: there are files here that SHA256SUMS does not list" >&2; exit 1; }
[ ! -e "$target" ] || { echo "install.sh: $target is there already: remove it, or name another folder" >&2; exit 1; }

made_for=$(ls wheels | sed -n 's/.*-cp3\([0-9]*\)-cp3\1-.*/3.\1/p' | sort -u)
found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
[ -z "$made_for" ] || [ "$made_for" = "$found" ] || {
    echo "install.sh: these wheels are for Python $made_for, and $python is $found: PYTHON=python$made_for $0 ..." >&2
    exit 1
}

"$python" -m venv "$target"
pip="$target/bin/python -m pip --disable-pip-version-check --isolated"
$pip install --quiet --no-index --find-links wheels --require-hashes -r requirements.txt
$pip install --quiet --no-index --find-links wheels --no-deps cxr-triage cxr-triage-models
"$target/bin/triage" --version
