#!/bin/sh
# Root becomes the service's own user: what root wrote into the spool the service could not change or remove.
TRIAGE_CONFIG="${TRIAGE_CONFIG:-/etc/cxr-triage/triage.toml}"
export TRIAGE_CONFIG
program=/usr/lib/cxr-triage/bin/triage
if [ "$(id -u)" = 0 ]; then
    HOME=/var/lib/cxr-triage
    export HOME
    exec setpriv --reuid=cxr-triage --regid=cxr-triage --init-groups "$program" "$@"
fi
exec "$program" "$@"
