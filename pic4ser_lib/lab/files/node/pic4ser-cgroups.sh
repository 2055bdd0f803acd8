#!/bin/sh
# cgroup v1 only: systemd mounts these controllers but makes no slices in them, and the kubelet then finds no kubepods.slice there.
[ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ] && exit 0
for controller in hugetlb perf_event net_cls,net_prio net_cls net_prio rdma misc; do
    path=/sys/fs/cgroup/$controller
    [ -L "$path" ] && continue
    mountpoint -q "$path" && umount "$path"
done
exit 0
