"""A training job described by its numbers, checked against the site before anything is submitted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pic4ser_lib.errors import Problem, SiteError
from pic4ser_lib.house import shared
from pic4ser_lib.operations.training_job.specification import Job

if TYPE_CHECKING:
    from pic4ser_lib.binding import Nodes
    from pic4ser_lib.site import Site

SCRIPT = "training/multi_worker.py"
_JOB = "the job"


def job(
    nodes: Nodes, *, name: str = "multi-worker", script: str = SCRIPT, image: str = "", workers: int = 2,
    gpus_per_worker: int = 1, epochs: int = 3, batch_size: int = 64, steps_per_epoch: int = 100,
) -> Job:  # fmt: skip
    """A job for this site. `script` is tried from the working directory and each parent; `image` is the site's own
    unless given. Raises SiteError with everything that is wrong.
    """
    path = _found(script)
    chosen = image or nodes.site.sources.images.get("training", "")
    numbers = {"workers": workers, "epochs": epochs, "batch_size": batch_size, "steps_per_epoch": steps_per_epoch}
    wrong = [*_counts(numbers, least=1), *_counts({"gpus_per_worker": gpus_per_worker}, least=0)]
    if not wrong:
        wrong += _places(nodes.site, workers, gpus_per_worker)
    if path is None:
        wrong.append(Problem(_JOB, "script", script, "a file, from here or any folder above"))
    if not chosen:
        wrong.append(Problem(_JOB, "image", "", "an image with TensorFlow, here or as sources.images.training"))
    if wrong or path is None:
        raise SiteError(path="the training job", problems=tuple(wrong))
    return Job(
        name, chosen, path.read_text("utf-8"), workers=workers, gpus_per_worker=gpus_per_worker, epochs=epochs,
        batch_size=batch_size, steps_per_epoch=steps_per_epoch, within=Job.within * nodes.site.patience,
    )  # fmt: skip


def _counts(numbers: Mapping[str, object], *, least: int) -> Iterator[Problem]:
    """Papermill guesses a parameter's type from its text: what is no whole number is said to be none."""
    for key, value in numbers.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            yield Problem(_JOB, key, repr(value), f"a whole number, at least {least}")


def _places(site: Site, workers: int, gpus: int) -> Iterator[Problem]:
    """Each worker needs a node of its own that takes pods and has its GPUs."""
    fit = [n for n in site.nodes if n.gpus >= gpus and (n.role == "worker" or site.pods_on_control_planes)]
    if len(fit) < workers:
        having = f" with {gpus} GPU{'s' if gpus > 1 else ''}" if gpus else ""
        allowed = f"at most {len(fit)}: each worker needs a node of its own{having}, and the site has no more"
        yield Problem(_JOB, "workers", str(workers), allowed)


def _found(script: str) -> Path | None:
    path = Path(script).expanduser()
    folders = [Path()] if path.is_absolute() else [Path.cwd(), *Path.cwd().parents, shared()]
    return next((folder / path for folder in folders if (folder / path).is_file()), None)
