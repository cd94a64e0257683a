#!/bin/sh
# Makes the passwords and the settings file that compose.yaml mounts, where there are none yet, and an empty file for
# the secret that an identity provider gives its client.
# Usage: deploy/make-secrets.sh [FOLDER]
# The folder is for its owner alone; the files in it can be read by all, as each container reads them as a user of its
# own, and compose mounts a file with the mode that it has.
set -eu
folder=${1:-$(dirname "$0")/secrets}
umask 077
mkdir -p "$folder"
chmod 0700 "$folder"
for name in redis_password grafana_password; do
    [ -s "$folder/$name" ] && continue
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$folder/$name.part"
    chmod 0444 "$folder/$name.part"
    mv "$folder/$name.part" "$folder/$name"
done
settings="$folder/triage.toml"
[ -e "$settings" ] || { cp "$(dirname "$0")/triage.toml" "$settings" && chmod 0644 "$settings"; }
[ -e "$folder/oidc_client_secret" ] || (umask 133 && : >"$folder/oidc_client_secret")
