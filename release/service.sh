#!/bin/sh
# Makes a service of systemd of what install.sh has installed: the user, settings with comments, units, manual pages and
# the command `triage`, as the Debian package has them. It starts nothing. Usage, as root: ./service.sh FOLDER
# FOLDER is that of install.sh. Once more with another FOLDER is an upgrade, or the way back: settings that are there stay.
# DESTDIR names the root of another system, in which FOLDER lies.
set -eu
home=${1:?usage: ./service.sh FOLDER}
root=${DESTDIR:-}
here=$(cd "$(dirname "$0")" && pwd)
umask 022

no() { echo "service.sh: $*" >&2; exit 1; }
case $home in
    /home/* | /root/* | /tmp/* | /var/tmp/* | /run/*) no "the service may not look into $home: install into /opt, say" ;;
    /*) ;;
    *) no "$home: name the whole path" ;;
esac
case $home in *[!A-Za-z0-9/._-]*) no "$home: letters, digits, / . _ - alone, please" ;; esac
[ -x "$root$home/bin/triage" ] || no "$home/bin/triage is not there: ./install.sh $home comes first"
[ "$(id -u)" = 0 ] || no "as root, please"
command -v systemd-sysusers >/dev/null || no "this machine has no systemd: see docs/how-to/install.md, the wheels"
[ ! -e "$root/usr/lib/cxr-triage" ] || no "the Debian package is installed: upgrade that, or remove it first"

# The files are those of the Debian package; its folders become those of this machine.
put() { # MODE FILE TARGET
    mkdir -p "$(dirname "$root$3")"
    sed -e "s|file:///usr/share/doc/cxr-triage/how-to/runbook.md.gz|file://$home/share/doc/how-to/runbook.md|" \
        -e "s|/usr/lib/cxr-triage|$home|g" "$here/service/$2" >"$root$3.part"
    chmod "$1" "$root$3.part"
    mv "$root$3.part" "$root$3"
}
for unit in $(cd "$here/service" && ls -- *.service *.target); do put 0644 "$unit" "/etc/systemd/system/$unit"; done
for page in $(ls "$here/service/man"); do put 0644 "man/$page" "/usr/local/share/man/man1/$page"; done
put 0644 completion "/usr/local/share/bash-completion/completions/triage"
put 0755 triage.sh /usr/local/bin/triage
put 0644 sysusers /etc/sysusers.d/cxr-triage.conf
put 0644 tmpfiles /etc/tmpfiles.d/cxr-triage.conf
[ ! -d "$root/etc/logrotate.d" ] || put 0644 logrotate /etc/logrotate.d/cxr-triage
for name in triage.toml redis.conf; do
    [ -e "$root/etc/cxr-triage/$name" ] || put 0644 "$name" "/etc/cxr-triage/$name"
done
mkdir -p "$root$home/share/doc"
cp -R "$here/docs/." "$root$home/share/doc"

systemd-sysusers --root="$root/" cxr-triage.conf
systemd-tmpfiles --root="$root/" --create cxr-triage.conf
if [ -z "$root" ]; then
    setpriv --reuid=cxr-triage --regid=cxr-triage --clear-groups "$home/bin/triage" --version >/dev/null ||
        no "the user cxr-triage cannot run $home/bin/triage: who made the folder has to let others read it"
    [ ! -d /run/systemd/system ] || systemctl daemon-reload
fi
echo "Set /etc/cxr-triage/triage.toml, then: systemctl enable cxr-triage && systemctl restart cxr-triage"
