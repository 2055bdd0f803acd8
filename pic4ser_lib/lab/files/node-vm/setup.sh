#!/bin/sh
# Runs on the finished root file system ($1) of a virtual machine: what Debian's installer leaves behind, nothing masked.
set -eu
root=$1
rm -f "$root"/etc/ssh/ssh_host_* "$root"/etc/apt/sources.list
: > "$root/etc/machine-id"
printf '%s\n' '/dev/vda / ext4 errors=remount-ro 0 1' '/swap.img none swap sw 0 0' > "$root/etc/fstab"
chroot "$root" systemctl set-default multi-user.target
chroot "$root" systemctl enable ssh.service pic4ser-hostkeys.service systemd-networkd.service
chroot "$root" useradd --uid 1000 --create-home --shell /bin/bash pic4ser
install -d -m 0700 -o 1000 -g 1000 "$root/home/pic4ser/.ssh"
printf 'pic4ser ALL=(ALL) NOPASSWD: ALL\n' > "$root/etc/sudoers.d/pic4ser"
chmod 0440 "$root/etc/sudoers.d/pic4ser"
# Made again, now that the files of ours for it are there.
chroot "$root" update-initramfs -u -k all
