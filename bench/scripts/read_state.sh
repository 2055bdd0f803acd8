# What notebook 01 wants of a node, read in one go by hand: no library, no judgement, nothing changed.
cat /proc/swaps
cat /etc/fstab
systemctl list-unit-files --type=swap --no-legend
systemctl list-units --type=swap --all --no-legend
for m in overlay br_netfilter; do ls -d /sys/module/$m; grep -sw $m /lib/modules/$(uname -r)/modules.builtin; done
cat /etc/modules-load.d/*.conf
sysctl net.bridge.bridge-nf-call-iptables net.bridge.bridge-nf-call-ip6tables net.ipv4.ip_forward
cat /etc/sysctl.d/*.conf /etc/sysctl.conf
cat /etc/apt/sources.list /etc/apt/sources.list.d/*
dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\n' apt-transport-https ca-certificates curl gnupg \
  lsb-release containerd.io kubelet kubeadm kubectl
for key in /etc/apt/keyrings/*; do base64 -w 0 $key; done
ls /var/lib/apt/lists
cat /etc/containerd/config.toml
containerd config dump
for f in /etc/containerd/certs.d/*/hosts.toml; do cat $f; done
for unit in containerd kubelet; do
  systemctl show $unit -p ActiveState,ActiveEnterTimestamp,NeedDaemonReload,UnitFileState,FragmentPath,DropInPaths
done
stat -c '%n %z' /etc/containerd/config.toml /etc/containerd/certs.d/*/hosts.toml
apt-mark showhold
