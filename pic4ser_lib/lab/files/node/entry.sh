#!/bin/sh
# First process of a node. Where the machine has one cgroup v2 tree, podman's --systemd=always has prepared everything.
# Where it has v1 trees, a node must not share the host's name=systemd tree with other nodes: it gets one of its own.
set -eu
mount --make-rshared /
if [ "$(stat -f -c %T /sys/fs/cgroup)" != cgroup2fs ]; then
    mount -o remount,rw /sys/fs/cgroup
    mkdir -p /sys/fs/cgroup/systemd
    mountpoint -q /sys/fs/cgroup/systemd || mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
fi
exec /sbin/init
