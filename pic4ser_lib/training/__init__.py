"""Training on several machines, as notebook 12 does it: describe a job, run it, look at it, and judge its result.

job = training.job(nodes, workers=2)       the script from training/, the image from the site's folder
training.run(nodes, job)                   submits and follows it; removes it when it is interrupted
training.gpus(nodes, job)                  its GPUs while it ran, as in notebook 11
training.result(nodes, job, alone)         one verdict with its evidence
training.failures(nodes, job)              jobs that fail on purpose are told apart by name and cause
"""

from pic4ser_lib.training.describing import job
from pic4ser_lib.training.failing import failures
from pic4ser_lib.training.judging import gpus, result
from pic4ser_lib.training.running import run

__all__ = ["failures", "gpus", "job", "result", "run"]
