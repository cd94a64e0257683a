#!/bin/sh
# The image, built from the Dockerfile on a base of Debian's own Python, and the stack of compose.yaml started from it:
# the same commands, environment, users, limits, networks and restrictions, by podman. Valkey's, Prometheus's and
# Alertmanager's images are stood in for by Debian's redis-server, prometheus and prometheus-alertmanager; Grafana's is
# not stood in for. Needs root, the Debian mirror and the package index, and no registry of images.
# Usage: tests/acceptance/image.sh, with a python that has the requirements of dev.txt first in PATH.
set -eu
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "as root, please" >&2; exit 1; }
packages="aardvark-dns buildah catatonit crun docker-compose iproute2 iptables mmdebstrap netavark podman"
for each in buildah crun docker-compose mmdebstrap podman iptables; do
    command -v "$each" >/dev/null || { apt-get update -qq; apt-get install -y -qq --no-install-recommends $packages; break; }
done
work=$(mktemp -d)
export CONTAINERS_CONF="$work/containers.conf" CONTAINERS_STORAGE_CONF="$work/storage.conf"
trap 'buildah rm --all >/dev/null 2>&1 || true; umount -q "$work/storage/overlay" || true; rm -rf "$work"' EXIT

# All of it below one folder that goes away; nothing of this machine's own containers.
limit=$(ulimit -H -n)
cat >"$CONTAINERS_CONF" <<END
[containers]
default_ulimits = ["nofile=$limit:$limit", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
runtime = "crun"
events_logger = "file"
tmp_dir = "$work/engine"
[network]
network_backend = "netavark"
network_config_dir = "$work/networks"
END
cat >"$CONTAINERS_STORAGE_CONF" <<END
[storage]
driver = "overlay"
graphroot = "$work/storage"
runroot = "$work/run"
END

echo "== the file for compose"
# Debian's Compose is an old one, which does not know of names for a project.
mkdir -p "$work/read/deploy" && sed '/^name: /d' deploy/compose.yaml >"$work/read/deploy/compose.yaml"
for profile in grafana reports; do
    docker-compose --file "$work/read/deploy/compose.yaml" --profile "$profile" config >"$work/read/$profile"
    grep -q "^  $profile:" "$work/read/$profile"
done

echo "== a base as python:3.11-slim is one, and the images of others, of Debian's packages"
image() { # NAME PACKAGES
    # Whom this machine trusts the base trusts: the package index may be a mirror of the house's.
    mmdebstrap --quiet --variant=minbase --include="ca-certificates,$2" bookworm "$work/base.tar"
    container=$(buildah from scratch)
    buildah add -q "$container" "$work/base.tar" / >/dev/null
    buildah copy -q "$container" /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt >/dev/null
    buildah commit -q "$container" "$1" >/dev/null
    buildah rm "$container" >/dev/null
    rm "$work/base.tar"
}
image localhost/python-base python3,python3-venv,python-is-python3
image localhost/others-base redis-server,prometheus,prometheus-alertmanager,busybox

echo "== the image"
buildah bud --quiet --isolation chroot --format docker --build-arg PYTHON_IMAGE=localhost/python-base \
    --target cpu --tag localhost/cxr-triage:cpu . >/dev/null
buildah inspect --type image --format '{{.Docker.Config.User}} {{.Docker.Config.Entrypoint}} {{.Docker.Config.Healthcheck.Test}}' \
    localhost/cxr-triage:cpu

# A network, processes and mounts of their own: nothing gets out, and all ends with it.
unshare --net --pid --fork --kill-child --mount-proc --mount sh -ec '
    ip link set lo up
    # Names of containers that an earlier run left there would be answered still.
    mkdir -p /run/containers && mount -t tmpfs tmpfs /run/containers
    umount /sys/fs/cgroup/unified 2>/dev/null || true  # crun takes one kind of control groups, not both
    python -m tests.acceptance.compose_stack "$1"
' sh "$work"
echo "acceptance of the image and the stack: passed"
