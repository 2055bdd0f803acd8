"""Trains one small classifier on several machines at once, with TensorFlow's MultiWorkerMirroredStrategy.

The training operator starts this script in each worker and tells it about the others in TF_CONFIG. Each worker makes
its own part of the data, all add up their gradients in every step, and so all end with the same weights.

Put your own model and data into `model`, `examples` and `loss_of`, or write another script: the notebook only asks
that it prints the lines that `say` prints.
"""

import argparse
import contextlib
import hashlib
import json
import os
import socket
import sys
import time

import tensorflow as tf

FEATURES, HIDDEN, CLASSES = 256, 128, 10


def main() -> None:
    wish = arguments()
    config = json.loads(os.environ.get("TF_CONFIG") or "{}")  # absent when there is one worker only
    task = config.get("task", {"type": "worker", "index": 0})
    workers = len(config.get("cluster", {}).get("worker", [""]))
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    say("start", tf_config=config, tensorflow=tf.__version__, gpus=len(gpus), host=socket.gethostname())

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    tf.random.set_seed(wish.seed)  # the same first weights everywhere
    with strategy.scope():
        weights = model()
    batches = part(strategy, wish, task["index"])
    step = train_step(strategy, weights, wish.learning_rate)

    number, examples_a_step = 0, wish.batch_size * workers
    for epoch in range(1, wish.epochs + 1):
        began = time.perf_counter()
        for _ in range(wish.steps_per_epoch):
            number, loss = number + 1, step(next(batches))
            if number == 1:  # the first step also builds the graph: it is no measure of the rest
                loss.numpy()
                began = time.perf_counter()
            if number % wish.tell_every == 0 or number == 1:
                say("step", epoch=epoch, step=number, loss=round(float(loss), 6))
        steps = wish.steps_per_epoch - (epoch == 1)
        say("epoch", epoch=epoch, loss=round(float(loss), 6), step=number,
            examples_per_second=round(examples_a_step * steps / (time.perf_counter() - began), 1))  # fmt: skip
    say("end", step=number, weights_sha256=checksum(weights))
    leave_together(strategy)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--steps-per-epoch", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=64, help="examples a worker takes in each step")
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--tell-every", type=int, default=20, help="print the loss of every so many steps")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def model() -> list[tf.Variable]:
    """Two layers, as plain variables: whoever reads this needs no framework on top of the framework."""

    def layer(rows: int, columns: int) -> tf.Variable:
        return tf.Variable(tf.random.normal([rows, columns], stddev=rows**-0.5))

    return [layer(FEATURES, HIDDEN), tf.Variable(tf.zeros([HIDDEN])), layer(HIDDEN, CLASSES),
            tf.Variable(tf.zeros([CLASSES]))]  # fmt: skip


def examples(number: int, seed: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Points around ten centres, and which centre each belongs to. The centres are the same for every seed."""
    centres = tf.random.stateless_normal([CLASSES, FEATURES], seed=[0, 0])
    labels = tf.random.stateless_uniform([number], seed=[seed, 1], maxval=CLASSES, dtype=tf.int32)
    noise = tf.random.stateless_normal([number, FEATURES], seed=[seed, 2], stddev=4.0)
    return tf.gather(centres, labels) + noise, labels


def loss_of(weights: list[tf.Variable], features: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    hidden = tf.nn.relu(features @ weights[0] + weights[1])
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, hidden @ weights[2] + weights[3]))


def part(strategy: tf.distribute.Strategy, wish: argparse.Namespace, index: int):
    """An endless row of batches of this worker's own examples, spread over its GPUs."""

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        own = examples(8192, seed=wish.seed * 1000 + index)
        batch = wish.batch_size // (strategy.num_replicas_in_sync // context.num_input_pipelines)
        shuffled = tf.data.Dataset.from_tensor_slices(own).shuffle(8192, seed=index).repeat()
        return shuffled.batch(max(1, batch), drop_remainder=True).prefetch(2)

    return iter(strategy.distribute_datasets_from_function(of_worker))


def train_step(strategy: tf.distribute.Strategy, weights: list[tf.Variable], rate: float):
    """One step on every worker: own gradients, their mean over all, the same change of the weights everywhere."""

    def replica(batch):
        with tf.GradientTape() as tape:
            loss = loss_of(weights, *batch)
        everywhere = tf.distribute.get_replica_context()
        gradients = everywhere.all_reduce(tf.distribute.ReduceOp.MEAN, tape.gradient(loss, weights))
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.assign_sub(rate * gradient)
        return loss

    @tf.function
    def step(batch):
        return strategy.reduce(tf.distribute.ReduceOp.MEAN, strategy.run(replica, args=(batch,)), axis=None)

    return step


def leave_together(strategy: tf.distribute.Strategy) -> None:
    """Wait until every worker is here, and end at once.

    TensorFlow's own way out asks the others to say goodbye, and waits half a minute for one that has left already.
    """

    @tf.function
    def meet():
        return strategy.run(lambda: tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, 1.0))

    # Who has everybody's number leaves, even if another has yet to fetch it from there: for that one the meeting fails.
    with contextlib.suppress(tf.errors.OpError):
        strategy.experimental_local_results(meet())[0].numpy()
    sys.stdout.flush()
    os._exit(0)


def checksum(weights: list[tf.Variable]) -> str:
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(weight.numpy().tobytes())
    return digest.hexdigest()


def say(event: str, **what: object) -> None:
    """One line for the notebook: `pic4ser {"event": ...}`; everything else in the log is for people."""
    print("pic4ser " + json.dumps({"event": event, "time": round(time.time(), 3), **what}), flush=True)


if __name__ == "__main__":
    main()
