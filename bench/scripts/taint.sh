# "Taint master nodes" of the document. The command ends with 1 because rover never had the taint.
set -uo pipefail
case "$(hostname)" in
  bonnie | kitt | rover) ;;
  *) echo "only for the lab's nodes, not for $(hostname)" >&2; exit 1 ;;
esac
kubectl --kubeconfig /etc/kubernetes/admin.conf taint node --all node-role.kubernetes.io/control-plane-
exit 0
