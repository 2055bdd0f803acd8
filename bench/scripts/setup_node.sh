# "Setup nodes" of the document, as a person would type it into a node of the lab: commands, no questions, no proof.
# The lab's sources stand where the document has the vendors', and its cgroup v1 settings where a machine needs none.
set -euo pipefail
case "$(hostname)" in
  bonnie | kitt | rover) ;;
  *) echo "only for the lab's nodes, not for $(hostname)" >&2; exit 1 ;;
esac
mirror=http://10.83.17.2
export DEBIAN_FRONTEND=noninteractive

swapoff -a
sed -i '/\sswap\s/ s/^/#/' /etc/fstab

printf 'overlay\nbr_netfilter\n' >/etc/modules-load.d/k8s.conf
modprobe overlay
modprobe br_netfilter
printf '%s = 1\n' net.bridge.bridge-nf-call-iptables net.bridge.bridge-nf-call-ip6tables net.ipv4.ip_forward \
  >/etc/sysctl.d/k8s.conf
# Not `sysctl --system`: in a container that would set the host's kernel from the node's files.
sysctl -q -p /etc/sysctl.d/k8s.conf

apt-get -q update
apt-get -q install -y curl gnupg apt-transport-https ca-certificates lsb-release
mkdir -m 0755 -p /etc/apt/keyrings
curl -fsSL $mirror/linux/debian/gpg -o /etc/apt/keyrings/docker.asc
echo "deb [arch=amd64 signed-by=/etc/apt/keyrings/docker.asc] $mirror/linux/debian bookworm stable" \
  >/etc/apt/sources.list.d/docker.list
apt-get -q update
apt-get -q install -y 'containerd.io=2.4.2-*'

containerd config default |
  sed "s/SystemdCgroup = false/SystemdCgroup = true/
       s/restrict_oom_score_adj = false/restrict_oom_score_adj = true/
       s|config_path = .*|config_path = '/etc/containerd/certs.d'|" >/etc/containerd/config.toml
for registry in registry.k8s.io ghcr.io docker.io; do
  mkdir -p /etc/containerd/certs.d/$registry
  printf 'server = "https://%s"\n[host."%s:5000/v2/%s"]\ncapabilities = ["pull", "resolve"]\noverride_path = true\n' \
    $registry $mirror $registry >/etc/containerd/certs.d/$registry/hosts.toml
done
systemctl daemon-reload
systemctl restart containerd
systemctl enable -q --now containerd

curl -fsSL $mirror/core:/stable:/v1.36/deb/Release.key -o /etc/apt/keyrings/kubernetes.asc
echo "deb [signed-by=/etc/apt/keyrings/kubernetes.asc] $mirror/core:/stable:/v1.36/deb/ /" \
  >/etc/apt/sources.list.d/kubernetes.list
apt-get -q update
apt-get -q install -y 'kubelet=1.36.3-*' 'kubeadm=1.36.3-*' 'kubectl=1.36.3-*'
apt-mark hold kubelet kubeadm kubectl
systemctl enable -q kubelet

echo 10.83.17.11 k8s-api.lab.internal >>/etc/hosts
