#!/bin/sh
# This kernel mounts no NFS: the package's mount.nfs, when it is installed, goes aside, and the lab's stand-in is called.
set -eu
[ -L /usr/sbin/mount.nfs ] && exit 0
dpkg-divert --quiet --local --no-rename --divert /sbin/mount.nfs.distrib --add /sbin/mount.nfs
ln -s /usr/local/lib/pic4ser/nfs /usr/sbin/mount.nfs
