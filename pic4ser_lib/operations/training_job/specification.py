"""What a training job is, as the API objects that make it so."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

API, KIND = "kubeflow.org/v1", "TFJob"
STAMP = "pic4ser/specification-sha256"
PORT = 2222
_FOLDER, _FILE = "/pic4ser", "train.py"


@dataclass(frozen=True, repr=False)
class Job:
    """One training job. `script` is the text of a Python program that runs in `image`, in every worker.

    `batch_size` is what one worker takes in each step. `within` is how long the whole job may take, in seconds.
    """

    name: str
    image: str
    script: str
    workers: int = 2
    gpus_per_worker: int = 1
    epochs: int = 3
    batch_size: int = 64
    steps_per_epoch: int = 100
    namespace: str = "default"
    within: float = 600.0

    def alone(self) -> Job:
        """The same with one worker: what the throughput of several is compared with."""
        return replace(self, name=f"{self.name}-alone", workers=1)

    @property
    def size(self) -> str:
        """How many workers and GPUs, in words."""
        workers = f"{self.workers} worker{'s' if self.workers != 1 else ''}"
        if not self.gpus_per_worker:
            return f"{workers} without GPUs"
        return f"{workers} of {self.gpus_per_worker} GPU{'s' if self.gpus_per_worker != 1 else ''}"

    def __repr__(self) -> str:
        work = f"{self.epochs} epochs of {self.steps_per_epoch} steps, {self.batch_size} examples a worker and step"
        return f"{self.name}  {self.size}  {work}"

    @property
    def config_map(self) -> str:
        """The name of the ConfigMap that has the script."""
        return f"{self.name}-script"

    def pod(self, index: int) -> str:
        """The name that the operator gives to a worker's pod and service."""
        return f"{self.name}-worker-{index}"


def objects(job: Job) -> tuple[dict[str, Any], dict[str, Any]]:
    """The ConfigMap with the script, and the TFJob, stamped with what both of them say."""
    return _config_map(job), tf_job(job)


def tf_job(job: Job) -> dict[str, Any]:
    """The TFJob. Each worker needs a node of its own; what still runs when the job has ended is stopped.

    No backoffLimit: workers are never restarted anyway, and past that limit the operator deletes even the pod that
    crashed, and with it the reason.
    """
    spec = {
        "runPolicy": {"cleanPodPolicy": "Running", "activeDeadlineSeconds": int(job.within)},
        "successPolicy": "AllWorkers",
        "tfReplicaSpecs": {"Worker": {"replicas": job.workers, "restartPolicy": "Never", "template": _template(job)}},
    }
    said = json.dumps([spec, job.script], sort_keys=True)
    stamp = hashlib.sha256(said.encode()).hexdigest()[:16]
    meta = {**_meta(job, job.name), "annotations": {STAMP: stamp}}
    return {"apiVersion": API, "kind": KIND, "metadata": meta, "spec": spec}


def stamp(job: Job) -> str:
    """The sum over everything that the job is: another script or another batch size is another job."""
    found: str = tf_job(job)["metadata"]["annotations"][STAMP]
    return found


def selector(job: Job) -> str:
    """The label selector of the job's pods."""
    return f"training.kubeflow.org/job-name={job.name}"


def failing(job: Job, namespace: str) -> dict[str, tuple[Job, tuple[str, ...]]]:
    """Three jobs that cannot succeed, by what is wrong, each with the words that its diagnosis must contain.

    They may take a fifth of the job's own time: they have nothing to compute.
    """
    base = replace(job, namespace=namespace, workers=2, within=job.within / 5)
    repository = job.image.rpartition(":")[0] if ":" in job.image.rpartition("/")[2] else job.image
    return {
        "an image that does not exist": (
            replace(base, name="no-such-image", image=f"{repository}:no-such-tag", gpus_per_worker=0),
            ("worker", "no-such-tag"),
        ),
        "a crash of worker 1": (
            replace(base, name="crash-in-worker-1", script=_CRASH, gpus_per_worker=0),
            ("worker 1", "exit code 3", "fails on purpose"),
        ),
        "more GPUs than any node has": (
            replace(base, name="too-many-gpus", gpus_per_worker=1000),
            ("worker", "1000 GPUs", "no node has"),
        ),
    }


_CRASH = """
import json, os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # or its pod is there for half a minute more
index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
if index == 1:
    print("this worker fails on purpose", flush=True)
    sys.exit(3)
time.sleep(600)
"""


def _config_map(job: Job) -> dict[str, Any]:
    return {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": _meta(job, job.config_map), "data": {_FILE: job.script},
    }  # fmt: skip


def _meta(job: Job, name: str) -> dict[str, Any]:
    return {"name": name, "namespace": job.namespace, "labels": {"app.kubernetes.io/managed-by": "pic4ser"}}


def _template(job: Job) -> dict[str, Any]:
    own = {"matchLabels": {"training.kubeflow.org/job-name": job.name}}
    apart = {"topologyKey": "kubernetes.io/hostname", "labelSelector": own}
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}},
        "containers": [_container(job)],
        "volumes": [
            {"name": "script", "configMap": {"name": job.config_map}},
            {"name": "shared-memory", "emptyDir": {"medium": "Memory"}},
        ],
    }
    return {"spec": spec}


def _container(job: Job) -> dict[str, Any]:
    """Named as the operator demands. GPUs are asked for only where there are to be any."""
    numbers = {"--epochs": job.epochs, "--steps-per-epoch": job.steps_per_epoch, "--batch-size": job.batch_size}
    limits = {"nvidia.com/gpu": str(job.gpus_per_worker)} if job.gpus_per_worker else {}
    return {
        "name": "tensorflow",
        "image": job.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", f"{_FOLDER}/{_FILE}", *(str(w) for pair in numbers.items() for w in pair)],
        "env": [{"name": "PYTHONUNBUFFERED", "value": "1"}, {"name": "TF_CPP_MIN_LOG_LEVEL", "value": "1"}],
        "ports": [{"name": "tfjob-port", "containerPort": PORT}],
        "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, **({"limits": limits} if limits else {})},
        # GPUs that train together talk through shared memory, and a container's own is 64 MiB.
        "volumeMounts": [{"name": "script", "mountPath": _FOLDER}, {"name": "shared-memory", "mountPath": "/dev/shm"}],
    }
