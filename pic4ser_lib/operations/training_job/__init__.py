"""A training job on several machines: a TFJob of Kubeflow's training operator, submitted, followed and judged.

script_kept(job)            the job's script is in the cluster, as a ConfigMap that its workers mount
submitted(job)              the job is there with this very specification
succeeded(job)              every worker has succeeded; while it runs, each worker's state and loss are told
proved(job, alone)          the result is what training on several machines promises

The same specification and Succeeded means already so: nothing is trained twice.
"""

from pic4ser_lib.operations.training_job.judging import judged
from pic4ser_lib.operations.training_job.specification import Job, failing
from pic4ser_lib.operations.training_job.steps import proved, script_kept, submitted, succeeded

__all__ = ["Job", "failing", "judged", "proved", "script_kept", "submitted", "succeeded"]
