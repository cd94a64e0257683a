#!/bin/sh
# The peers that tests talk to. Installed where we can (root and apt); elsewhere the tests that need them are skipped.
# Usage: tests/install_peers.sh [FILE:PACKAGE...], further ones that an acceptance needs, each with a file that it brings.
set -eu
packages="dcmtk orthanc redis-server dicom3tools prometheus chromium jq bindfs iproute2 faketime strace nginx-light apache2 minisign systemd groff-base prometheus-alertmanager rsyslog rsyslog-gnutls haproxy redis-sentinel"
missing=""
for pair in /usr/bin/storescu:dcmtk /usr/sbin/Orthanc:orthanc /usr/bin/redis-server:redis-server \
    /usr/bin/dciodvfy:dicom3tools /usr/bin/promtool:prometheus /usr/bin/chromium:chromium /usr/bin/jq:jq \
    /usr/bin/bindfs:bindfs /sbin/ip:iproute2 /usr/bin/faketime:faketime /usr/bin/strace:strace \
    /usr/sbin/nginx:nginx-light /usr/sbin/apache2:apache2 /usr/bin/minisign:minisign \
    /usr/bin/systemd-analyze:systemd /usr/bin/groff:groff-base \
    /usr/bin/amtool:prometheus-alertmanager \
    /usr/sbin/haproxy:haproxy /usr/bin/redis-sentinel:redis-sentinel \
    /usr/sbin/rsyslogd:rsyslog /usr/share/doc/rsyslog-gnutls:rsyslog-gnutls "$@"; do
    [ -x "${pair%%:*}" ] || missing="$missing ${pair##*:}"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    # Debian starts what it installs; the tests start their own, on their own ports.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
    exit 0
fi
echo "tests with real peers are skipped; to run them: sudo apt-get install $packages" >&2
