#!/bin/sh
# First boot: what makes this disk one machine (the lab appended it to the initrd) is put there before its init starts.
# Later boots leave the disk alone: what was changed on it since stays changed.
case "${1:-}" in prereqs) exit 0 ;; esac
mark=$rootmnt/var/lib/pic4ser-lab
[ -f /pic4ser-identity.tar ] && [ ! -e "$mark/installed" ] || exit 0
set -e
chroot "$rootmnt" tar --extract --file=- < /pic4ser-identity.tar
chroot "$rootmnt" sh -ec 'fallocate -l 512M /swap.img; chmod 600 /swap.img; mkswap /swap.img' > /dev/null
mkdir -p "$mark"
sync
: > "$mark/installed"
sync
