#!/bin/sh
# Runs on the finished root file system ($1) before it is packed.
set -eu
root=$1
# udev, the clock and sysctl.d belong to the host's kernel; seats, consoles and RPC pipes have nothing to serve here.
for unit in systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service \
    systemd-udev-settle.service systemd-timesyncd.service systemd-sysctl.service systemd-logind.service \
    getty.target console-getty.service getty@tty1.service run-rpc_pipefs.mount nfs-client.target rpcbind.service rpcbind.socket; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
# Settings that reach the whole kernel (pid_max, link protection): `sysctl --system` in a node must not write the host's.
rm -f "$root"/usr/lib/sysctl.d/*.conf "$root"/etc/sysctl.d/*.conf
rm -f "$root"/etc/ssh/ssh_host_* "$root"/etc/apt/sources.list
: > "$root/etc/machine-id"
chroot "$root" systemctl set-default multi-user.target
chroot "$root" systemctl enable ssh.service pic4ser-cgroups.service pic4ser-hostkeys.service
chroot "$root" useradd --uid 1000 --create-home --shell /bin/bash pic4ser
install -d -m 0700 -o 1000 -g 1000 "$root/home/pic4ser/.ssh"
printf 'pic4ser ALL=(ALL) NOPASSWD: ALL\n' > "$root/etc/sudoers.d/pic4ser"
chmod 0440 "$root/etc/sudoers.d/pic4ser"
