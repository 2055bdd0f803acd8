# "Install Kubernetes" on the first control plane; its last two lines are the join commands: control plane, worker.
# The document's one flag and the endpoint's name, in a file, because the lab's kubelets need settings that have no flag.
set -euo pipefail
case "$(hostname)" in
  bonnie | kitt | rover) ;;
  *) echo "only for the lab's nodes, not for $(hostname)" >&2; exit 1 ;;
esac
{
  echo 'apiVersion: kubeadm.k8s.io/v1beta4'
  echo 'kind: InitConfiguration'
  echo 'nodeRegistration: {ignorePreflightErrors: [SystemVerification]}'
  echo '---'
  echo 'apiVersion: kubeadm.k8s.io/v1beta4'
  echo 'kind: ClusterConfiguration'
  echo 'kubernetesVersion: v1.36.3'
  echo 'controlPlaneEndpoint: k8s-api.lab.internal:6443'
  echo 'networking: {podSubnet: 10.244.0.0/16}'
  echo '---'
  echo 'apiVersion: kubelet.config.k8s.io/v1beta1'
  echo 'kind: KubeletConfiguration'
  echo 'cgroupDriver: systemd'
  echo 'failCgroupV1: false'
  echo 'maxOpenFiles: 20000'
  echo 'evictionHard: {memory.available: 100Mi, nodefs.available: 0%, nodefs.inodesFree: 0%,'
  echo '  imagefs.available: 0%, imagefs.inodesFree: 0%}'
  echo '---'
  echo 'apiVersion: kubeproxy.config.k8s.io/v1alpha1'
  echo 'kind: KubeProxyConfiguration'
  echo 'conntrack: {maxPerCore: 0}'
} >/root/kubeadm.yaml
kubeadm init --config /root/kubeadm.yaml
mkdir -p /root/.kube
cp /etc/kubernetes/admin.conf /root/.kube/config
key=$(kubeadm init phase upload-certs --upload-certs | tail -n 1)
join="$(kubeadm token create --print-join-command) --ignore-preflight-errors=SystemVerification"
echo "$join --control-plane --certificate-key $key"
echo "$join"
