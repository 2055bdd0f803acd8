"""The training operator: Kubeflow's controller for TFJobs (document: Tensorflow training operator).

applied(site)        the cluster holds the pinned release's standalone manifests
ready(site)          its pod is ready; since 1.9 that means that its webhook answers too, with a certificate that it
                     made itself and then waits for (Kubernetes, Secrets: mounted Secrets are updated in time)
accepts_jobs(site)   a right TFJob would be accepted, and since 1.9 a wrong one refused

The release's archive is fetched on the first control plane and rendered by its kubectl, so that the operator's machine
need not reach the source. Client-side apply, which the document uses, cannot carry these objects: kubectl writes a
copy of each into an annotation, and several are longer than an annotation may be.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pic4ser_lib.operations import archives
from pic4ser_lib.operations.flannel.manifest import covers
from pic4ser_lib.operations.kubectl import ADMIN, KUBECTL
from pic4ser_lib.operations.marked import marked
from pic4ser_lib.operations.packed import as_json, pack, unpacked
from pic4ser_lib.operations.workloads import Around, missing, pods_of
from pic4ser_lib.steps import Apply, Decision, Later, Patch, Read, Refused, Settling, Shell, Step, object_name

if TYPE_CHECKING:
    from pic4ser_lib.site import Site

NAMESPACE, DEPLOYMENT = "kubeflow", "training-operator"
WEBHOOKS = "validator.training-operator.kubeflow.org"
REFRESHED = "pic4ser/certificate"
"""The annotation that tells a pod's kubelet to look at its Secrets: any change of the pod does."""
OVERLAY = "manifests/overlays/standalone"
_RENDER = """
export LC_ALL=C
command -v curl >/dev/null || { echo "@lacking: curl"; exit 0; }
command -v kubectl >/dev/null || { echo "@lacking: kubectl"; exit 0; }
t=$(mktemp -d); trap 'rm -rf "$t"' EXIT
if ! %FETCH% 2>"$t/error"; then echo "@failed: $(tr '\\n' ' ' <"$t/error")"; exit 0; fi
echo "@sha256: $(sha256sum <"$t/archive" | cut -d ' ' -f 1)"
[ "$(sha256sum <"$t/archive" | cut -d ' ' -f 1)" = "%SHA256%" ] || exit 0
mkdir "$t/tree" && tar -xzf "$t/archive" -C "$t/tree" --strip-components=1 || exit 1
if ! kubectl kustomize "$t/tree/%OVERLAY%" >"$t/rendered" 2>"$t/error"; then
  echo "@unrendered: $(tr '\\n' ' ' <"$t/error")"; exit 0
fi
echo "@rendered: $(%RENDERED%)"
[ -e %ADMIN% ] || exit 0
%KUBECTL% get -f "$t/rendered" --ignore-not-found -o json >"$t/live" || exit 1
echo "@live: $(%LIVE%)"
"""
_JOB = """
apiVersion: kubeflow.org/v1
kind: TFJob
metadata: {name: pic4ser-accepted, namespace: default}
spec:
  tfReplicaSpecs:
    Worker:
      replicas: 1
      restartPolicy: Never
      template: {spec: {containers: [{name: %CONTAINER%, image: "%IMAGE%"}]}}
"""
_ASK = """
[ -e %ADMIN% ] || { echo "@absent: no cluster"; exit 0; }
job() { %KUBECTL% create --dry-run=server -o name -f - 2>&1 | tr '\\n' ' '; }
echo "@right: $(printf %s %RIGHT% | job)"
echo "@wrong: $(printf %s %WRONG% | job)"
"""


@dataclass(frozen=True)
class Rendered:
    """The release's objects as they were rendered, and what the cluster has of them; None: there is no cluster yet."""

    lacking: str = ""
    archive: archives.Seen = field(default_factory=archives.Seen)
    unrendered: str = ""
    objects: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    live: tuple[dict[str, Any], ...] | None = field(default=None, repr=False)

    def __str__(self) -> str:
        images = sorted({image.rpartition("/")[2] for image in _images(self.live or ())})
        return f"{', '.join(images)}, {len(self.live or ())} objects" if images else "no training operator"


@dataclass(frozen=True)
class Applied(Step):
    """The cluster holds the pinned release of the training operator."""

    version: str
    url: str
    sha256: str
    first: str
    name: str = "training_operator.applied"

    @property
    def wanted(self) -> str:  # type: ignore[override]
        """With the version."""
        return f"the cluster holds the training operator {self.version}"

    def probe(self) -> Shell:
        """Fetched and rendered by the first control plane, with what the cluster has of it."""
        words = {
            "FETCH": archives.fetched(self.url, "$t/archive"),
            "SHA256": self.sha256,
            "OVERLAY": OVERLAY,
            "RENDERED": pack('cat "$t/rendered"'),
            "LIVE": pack('cat "$t/live"'),
            "ADMIN": ADMIN,
            "KUBECTL": KUBECTL,
        }
        return Shell(_filled(_RENDER, words), on=self.first)

    def parse(self, raw: str) -> Rendered:
        """The objects as the release has them: fields that it leaves empty are not wanted empty."""
        import yaml

        said = marked(raw)
        fast: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        objects = yaml.load_all(unpacked(said.get("rendered", "")), Loader=fast)
        live = as_json(said["live"]) or {"items": []} if "live" in said else None
        return Rendered(
            said.get("lacking", ""),
            archives.seen(said),
            said.get("unrendered", ""),
            tuple(_filled_fields(one) for one in objects if one),
            None if live is None else tuple(live.get("items", [live])),
        )

    def actions(self, seen: Rendered) -> Decision:
        """Apply what differs; refuse what is not the pinned archive."""
        if seen.lacking:
            return Later("packages.pinned" if seen.lacking == "kubectl" else "packages.dependencies", seen.lacking)
        archives.judged(self, "training-operator", seen.archive, published="a copy that you fetched yourself and read")
        if seen.unrendered or not seen.objects:
            remedy = f"Is {OVERLAY} in the archive? This release may be laid out differently."
            raise Refused(f"{OVERLAY} in {self.url}", seen.unrendered or "no objects", remedy)
        if seen.live is None:
            return Later("kubeadm.initialised", f"{self.first} has no cluster yet")
        live = {_identity(one): one for one in seen.live}
        different = tuple(one for one in seen.objects if not covers(live.get(_identity(one)), one))
        return [Apply(different)] if different else []


@dataclass(frozen=True)
class Rollout:
    """The operator's Deployment: its version, what it lacks, and pods that wait for a certificate that exists."""

    image: str
    missing: str
    waiting: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.image.rpartition("/")[2] or "no Deployment"


@dataclass(frozen=True)
class Ready(Step):
    """The operator's pod is ready."""

    name: str = "training_operator.ready"
    wanted: str = "the training operator runs, and its webhook answers"
    settles_within: float = 180.0

    def probe(self) -> tuple[Read, ...]:
        """The Deployment, with the pods and warnings around it, and whether the webhook's certificate was made."""
        return (
            Read("apps/v1", "Deployment", DEPLOYMENT, NAMESPACE),
            Read("v1", "Pod", namespace=NAMESPACE),
            Read("v1", "Event", namespace=NAMESPACE),
            Read("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", WEBHOOKS),
        )

    def parse(self, raw: tuple[Any, ...]) -> Rollout:
        """Its readiness probe asks /readyz, which is false until the webhook has its certificate and serves."""
        deployment, pods, events, webhooks = raw
        if deployment is None:
            return Rollout("", "")
        live = {"kind": "Deployment", **deployment}
        lacks = missing(live, Around(pods, events))
        known = any(one.get("clientConfig", {}).get("caBundle") for one in (webhooks or {}).get("webhooks", ()))
        waiting = tuple(pod["metadata"]["name"] for pod in pods_of(live, pods) if _waits(pod))
        return Rollout(next(_images((live,)), ""), lacks, waiting if known else ())

    def actions(self, seen: Rollout) -> Decision:
        """To wait, saying why; a pod that started before its certificate was made is told once to look for it.

        The kubelet looks at a pod's Secrets again when the pod changes, and else about once a minute, while the
        operator waits twice as long from look to look: two minutes in which nothing happens.
        """
        if not seen.image:
            return Later("training_operator.applied", "there is no Deployment of it")
        if seen.missing and seen.waiting:
            body = {"metadata": {"annotations": {REFRESHED: "made"}}}
            return [Patch("v1", "Pod", name, body, NAMESPACE) for name in seen.waiting]
        return Settling(seen.missing) if seen.missing else []


@dataclass(frozen=True)
class Verdicts:
    """What the server said to a right TFJob and to a wrong one, neither of which it kept."""

    absent: str
    right: str
    wrong: str

    @property
    def accepted(self) -> bool:
        """The right one would have been created."""
        return self.right.startswith("tfjob.kubeflow.org/")

    @property
    def refused(self) -> bool:
        """The operator's webhook refused the wrong one, by its name."""
        return "denied the request" in self.wrong

    def __str__(self) -> str:
        if self.absent:
            return self.absent
        return f"a right TFJob is {'accepted' if self.accepted else 'refused'}, a wrong one {self._wrong}"

    @property
    def _wrong(self) -> str:
        return "refused" if self.refused else "accepted" if self.wrong.startswith("tfjob") else "not judged"


@dataclass(frozen=True)
class AcceptsJobs(Step):
    """The API server accepts a TFJob: asked by a server-side dry run, which keeps nothing."""

    image: str
    has_webhook: bool
    first: str
    name: str = "training_operator.accepts_jobs"
    settles_within: float = 60.0

    @property
    def wanted(self) -> str:  # type: ignore[override]
        """With the wrong one, where there is somebody to refuse it."""
        return "a TFJob is accepted" + (", and one that could not run is refused" if self.has_webhook else "")

    def probe(self) -> Shell:
        """A right TFJob, and one whose container has not the name that the operator looks for."""
        right, wrong = (_filled(_JOB, {"CONTAINER": name, "IMAGE": self.image}) for name in ("tensorflow", "main"))
        words = {"ADMIN": ADMIN, "KUBECTL": KUBECTL, "RIGHT": shlex.quote(right), "WRONG": shlex.quote(wrong)}
        return Shell(_filled(_ASK, words), on=self.first)

    def parse(self, raw: str) -> Verdicts:
        """kubectl's words."""
        said = marked(raw)
        return Verdicts(said.get("absent", ""), said.get("right", ""), said.get("wrong", ""))

    def actions(self, seen: Verdicts) -> Decision:
        """Nothing but to wait: a webhook that has just come up is not known everywhere."""
        if seen.absent:
            return Later("kubeadm.initialised", seen.absent)
        if "no matches for kind" in seen.right:
            return Later("training_operator.applied", "the cluster does not know TFJobs")
        if not seen.accepted:
            return Settling(f"a TFJob to be accepted: {seen.right}")
        if self.has_webhook and not seen.refused:
            return Settling(f"the webhook to judge TFJobs: {seen.wrong}")
        return []


def applied(site: Site) -> Applied:
    """The training operator as the site pins it, applied server-side."""
    archive = site.sources.archives["training-operator"]
    return Applied(site.versions.training_operator, archive.url, archive.sha256, site.first.name)


def ready(site: Site) -> Ready:
    """The training operator's pod is ready."""
    return Ready()


def accepts_jobs(site: Site) -> AcceptsJobs:
    """A TFJob would be accepted. Nothing is created."""
    minor = int(site.versions.training_operator.split(".")[1])
    return AcceptsJobs(site.sources.images["training"], minor >= 9, site.first.name)


def _filled_fields(value: Any) -> Any:
    """The same without fields that are null: generated manifests carry some, and they mean nothing."""
    if isinstance(value, dict):
        return {key: _filled_fields(one) for key, one in value.items() if one is not None}
    return list(map(_filled_fields, value)) if isinstance(value, list) else value


def _images(objects: Sequence[dict[str, Any]]) -> Any:
    for one in objects:
        template = one.get("spec", {}).get("template", {}) if one.get("kind") == "Deployment" else {}
        yield from (container["image"] for container in template.get("spec", {}).get("containers", []))


def _waits(pod: dict[str, Any]) -> bool:
    """Whether a pod has run from the first without being ready, and was not told to look at its Secrets."""
    told = REFRESHED in pod["metadata"].get("annotations", {}) or "deletionTimestamp" in pod["metadata"]
    containers = pod.get("status", {}).get("containerStatuses", ())
    first = [one for one in containers if "running" in one.get("state", {}) and not one.get("restartCount")]
    return not told and any(not one.get("ready") for one in first)


def _identity(obj: dict[str, Any]) -> str:
    return f"{obj['apiVersion']} {object_name(obj)}"


def _filled(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(f"%{word}%", value)
    return text
