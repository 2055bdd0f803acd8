"""The configuration files that kubeadm is given, made from the site: nothing of it stands on a command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pic4ser_lib.steps import Content, Run, Secret

if TYPE_CHECKING:
    from pic4ser_lib.site import Node, Site

API = "kubeadm.k8s.io/v1beta4"
CRI_SOCKET = "unix:///run/containerd/containerd.sock"
_TOKEN, _KEY = "JOIN_TOKEN", "CERTIFICATE_KEY"
_PATCHES = "/run/pic4ser/kubeadm-patches"
_ASKED = ("kube-apiserver", "kube-scheduler", "etcd")  # whether they are ready
_LOOKED_AFTER = (*_ASKED, "kube-controller-manager")  # whether they live
_SILENCES = 8  # of ten seconds at least, after which the kubelet starts one of them anew
# kubeadm's own, in seconds (its API reference, v1beta4, Timeouts). A slow machine's API server answers, but later.
_TIMEOUTS = {
    "controlPlaneComponentHealthCheck": 240, "kubeletHealthCheck": 240, "kubernetesAPICall": 60,
    "etcdAPICall": 120, "tlsBootstrap": 300, "discovery": 300,
}  # fmt: skip

# How long a control plane's own parts wait for each other by default: leases in seconds (kube-controller-manager and
# kube-scheduler, --leader-elect-*), questions to etcd in seconds (kube-apiserver), etcd's beats in milliseconds. Who
# waits too shortly on a slow machine starts anew, again and again, and makes it slower still.
_LEASES = {"leader-elect-lease-duration": 15, "leader-elect-renew-deadline": 10, "leader-elect-retry-period": 2}
_ETCD_ANSWERS = {"etcd-healthcheck-timeout": 2, "etcd-readycheck-timeout": 2}
_ETCD_BEATS = {"heartbeat-interval": 100, "election-timeout": 1000}
_LONGEST_ELECTION = 50_000  # etcd refuses more
# How often etcd tells each of an API server's watches how far it is, in seconds: kubeadm's choice. With two API servers
# and a hundred kinds of objects that keeps an idle etcd busy, and those that it tells.
_ETCD_TELLS = {"watch-progress-notify-interval": 5}
# What etcd calls slow, in milliseconds, and says in three long lines for each request: on a slow machine for all.
_ETCD_SLOW = {"warning-apply-duration": 100, "warning-unary-request-duration": 300}
_ETCD_SAYS = {"name": "log-level", "value": "warn"}
# An emulated machine signs with RSA in ten times the time that this curve takes it.
_QUICK_KEYS = {"encryptionAlgorithm": "ECDSA-P256"}


def for_init(site: Site) -> str:
    """What `kubeadm init` makes on the first control plane.

    The document's `--pod-network-cidr`, and what it lacks for a second control plane: the endpoint by name.
    """
    sans = [site.endpoint.name, *(node.address for node in site.control_planes)]
    init = {
        "apiVersion": API,
        "kind": "InitConfiguration",
        "localAPIEndpoint": _local(site, site.first),
        "nodeRegistration": _registration(site, site.first),
        **_timeouts(site),
        **_patched(site),
    }
    cluster = {
        "apiVersion": API,
        "kind": "ClusterConfiguration",
        "kubernetesVersion": f"v{site.versions.kubernetes}",
        "controlPlaneEndpoint": endpoint(site),
        "imageRepository": site.sources.image_repository,
        "networking": {"podSubnet": site.network.pod_cidr, "serviceSubnet": site.network.service_cidr},
        **over({"apiServer": {"certSANs": sans}}, _waits(site)),
    }
    kubelet = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "cgroupDriver": "systemd"}
    proxy = {"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration"}
    return _dumped(init, cluster, over(kubelet, site.kubelet), over(proxy, site.kube_proxy))


def for_join(site: Site, node: Node, ca_hash: str, *, token: Secret, certificate_key: Secret) -> Content:
    """What `kubeadm join` is given on this node; a control plane's has the key of the uploaded certificates too."""
    discovery = {"token": _TOKEN, "apiServerEndpoint": endpoint(site), "caCertHashes": [f"sha256:{ca_hash}"]}
    join: dict[str, Any] = {
        "apiVersion": API,
        "kind": "JoinConfiguration",
        "discovery": {"bootstrapToken": discovery},
        "nodeRegistration": _registration(site, node),
        **_timeouts(site),
    }
    if node.role == "control-plane":
        join["controlPlane"] = {"localAPIEndpoint": _local(site, node), "certificateKey": _KEY}
        join.update(_patched(site))
    return _with_secrets(_dumped(join), {_TOKEN: token, _KEY: certificate_key})


def patches(site: Site) -> tuple[Run, ...]:
    """What has to be done before kubeadm makes a control plane: the patches that its configuration names.

    The kubelet asks kubeadm's static pods each second whether they are ready, and a slow control plane is
    busy with that: two answer by TLS, and etcd asks its other members. One that is slow to say that it lives is started
    anew, which makes it slower still. Nothing where the nodes are as quick as upstream expects.
    """
    if site.slowness == 1:
        return ()
    written = [
        f"cat >{_PATCHES}/{part}+strategic.json <<'E'\n{_patch(part, site.slowness)}\nE" for part in _LOOKED_AFTER
    ]
    return (Run("\n".join([f"mkdir -p {_PATCHES}", *written])),)


def endpoint(site: Site) -> str:
    """The control plane's endpoint as kubeadm writes it: name and port."""
    return f"{site.endpoint.name}:{site.endpoint.port}"


def over(base: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """`extra` laid over `base`, map by map."""
    merged = dict(base)
    for key, value in extra.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = over(merged[key], value) if both else value
    return merged


def _local(site: Site, node: Node) -> dict[str, Any]:
    return {"advertiseAddress": node.address, "bindPort": site.endpoint.port}


def _registration(site: Site, node: Node) -> dict[str, Any]:
    registration: dict[str, Any] = {
        "name": node.name,
        "criSocket": CRI_SOCKET,
        # A node with several networks must not be left to guess: this is the address the other nodes reach.
        "kubeletExtraArgs": [{"name": "node-ip", "value": node.address}],
    }
    if site.kubeadm.ignore_preflight_errors:
        registration["ignorePreflightErrors"] = list(site.kubeadm.ignore_preflight_errors)
    return registration


def _patch(part: str, slowness: int) -> str:
    probes = {"livenessProbe": {"failureThreshold": _SILENCES * slowness}}
    if part in _ASKED:
        probes["readinessProbe"] = {"periodSeconds": slowness}
    return json.dumps({"spec": {"containers": [{"name": part, **probes}]}})


def _patched(site: Site) -> dict[str, Any]:
    return {"patches": {"directory": _PATCHES}} if site.slowness != 1 else {}


def _timeouts(site: Site) -> dict[str, Any]:
    """As many times kubeadm's own as the nodes are slower; nothing where they are not."""
    if site.slowness == 1:
        return {}
    return {"timeouts": {name: f"{seconds * site.slowness}s" for name, seconds in _TIMEOUTS.items()}}


def _waits(site: Site) -> dict[str, Any]:
    """The control plane's parts wait for each other as many times longer as the nodes are slower, and ask cheaply.

    Nothing where they are not.
    """
    if site.slowness == 1:
        return {}
    beats = min(site.slowness, _LONGEST_ELECTION // _ETCD_BEATS["election-timeout"])
    leases = {"extraArgs": _arguments(_LEASES, site.slowness, "s")}
    slow = _arguments(_ETCD_SLOW, site.slowness, "ms")
    tells = _arguments(_ETCD_TELLS, site.slowness, "s")
    etcd = [*_arguments(_ETCD_BEATS, beats, ""), *tells, *slow, _ETCD_SAYS]
    return {
        **_QUICK_KEYS,
        "apiServer": {"extraArgs": _arguments(_ETCD_ANSWERS, site.slowness, "s")},
        "controllerManager": leases,
        "scheduler": dict(leases),
        "etcd": {"local": {"extraArgs": etcd}},
    }


def _arguments(usual: Mapping[str, int], times: int, unit: str) -> list[dict[str, str]]:
    return [{"name": name, "value": f"{number * times}{unit}"} for name, number in usual.items()]


def _dumped(*documents: dict[str, Any]) -> str:
    import yaml

    return "".join("---\n" + yaml.safe_dump(document, sort_keys=False) for document in documents)


def _with_secrets(text: str, secrets: Mapping[str, Secret]) -> Content:
    """The text with secrets in place of their stand-ins, in quotes: a token of digits must not become a number."""
    parts: list[str | Secret] = [text]
    for mark, secret in secrets.items():
        before, found, after = str(parts[-1]).partition(mark)
        if found:
            parts[-1:] = [f'{before}"', secret, f'"{after}']
    return tuple(parts)
