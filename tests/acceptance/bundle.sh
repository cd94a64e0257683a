#!/bin/sh
# The bundle for machines without a network: built twice, signed with a key made here, its bill of materials checked
# against CycloneDX's schema, installed with the network off, and the demonstration run from it.
# Needs root, minisign and the package index. Usage: tests/acceptance/bundle.sh, with a python that has the requirements
# of dev.txt first in PATH.
set -eu
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "as root, please" >&2; exit 1; }
command -v minisign >/dev/null || { apt-get update -qq; apt-get install -y -qq --no-install-recommends minisign; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

minisign -G -W -s "$work/key" -p "$work/key.pub" >/dev/null
python -m release bundle --out "$work/one" --sign-with "$work/key"
python -m release bundle --out "$work/other"
mkdir "$work/a" "$work/b"
tar -xf "$work"/one/*.tar -C "$work/a"
tar -xf "$work"/other/*.tar -C "$work/b"
diff -r --exclude=SHA256SUMS.minisig "$work/a" "$work/b"

echo "== bill of materials"
python -m venv "$work/cyclonedx"
"$work/cyclonedx/bin/pip" install --quiet --disable-pip-version-check "cyclonedx-python-lib[json-validation]>=9,<12"
"$work/cyclonedx/bin/python" - "$work"/a/*/sbom.cdx.json <<'PYTHON'
import sys
from pathlib import Path
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(Path(sys.argv[1]).read_text())
sys.exit(f"{fault}" if fault else 0)
PYTHON
# Nothing of a licence that the project does not take.
if grep -iE '"(name|expression)": "[^"]*\b(A?GPL|SSPL|BUSL)' "$work"/a/*/sbom.cdx.json; then exit 1; fi

echo "== installed, made a service and used with the network off"
mkdir "$work/empty" "$work/root"
unshare --net --mount sh -ec '
    ip link set lo up
    # Not below /tmp, which a service does not see. Users and units get a system of their own; nothing is started there.
    mount -t tmpfs -o mode=0755 tmpfs /srv
    "$1"/install.sh /srv/cxr-triage "$2/key.pub"
    mkdir -p "$2/root/srv/cxr-triage/bin" && ln -s /srv/cxr-triage/bin/triage "$2/root/srv/cxr-triage/bin/triage"
    DESTDIR="$2/root" "$1"/service.sh /srv/cxr-triage
    systemd-analyze verify --man=no "$2"/root/etc/systemd/system/cxr-triage*
    setpriv --reuid=65534 --regid=65534 --clear-groups /srv/cxr-triage/bin/triage --version
    cd "$2/empty"
    env -i HOME="$2/empty" PATH=/usr/sbin:/usr/bin:/sbin:/bin /srv/cxr-triage/bin/triage demo --exit
' sh "$work"/a/* "$work"
echo "acceptance of the bundle: passed"
