"""kubectl as steps call it on a node: as the cluster's administrator, and never waiting for ever."""

from __future__ import annotations

ADMIN = "/etc/kubernetes/admin.conf"
"""What kubeadm leaves on each control plane."""
PATIENT = "--request-timeout=60s"
"""Left to itself, kubectl waits as long as an API server says nothing; a busy one takes its time."""
KUBECTL = f"kubectl --kubeconfig {ADMIN} {PATIENT}"
