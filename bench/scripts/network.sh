# "Network plugin" of the document, and the wait that its reader does by looking again and again.
set -euo pipefail
case "$(hostname)" in
  bonnie | kitt | rover) ;;
  *) echo "only for the lab's nodes, not for $(hostname)" >&2; exit 1 ;;
esac
export KUBECONFIG=/etc/kubernetes/admin.conf
kubectl apply -f http://10.83.17.2/files/flannel-io/flannel/releases/download/v0.28.10/kube-flannel.yml
kubectl -n kube-flannel rollout status daemonset/kube-flannel-ds --timeout=180s
kubectl wait --for=condition=Ready node --all --timeout=180s
