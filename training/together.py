"""The training loop of a fit on several devices or machines.

`Model.fit` of Keras 3 does not work with several machines (keras-team/keras#20585), and with several GPUs not for every
shape; its training step does, so the loop around it is here. Each replica takes every n-th example of every batch.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from training.fitting import Batches


def fit_together(
    model: keras.Model,
    train: "Batches",
    valid: "Batches",
    *,
    first: int,
    epochs: int,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Fit `model`, compiled under the strategy in force, from epoch `first` on, as `Model.fit` would.

    All processes make the whole of every batch and compute their part of it, so that they agree on what is random.
    Where a batch cannot be shared evenly, examples in the smaller shares count a little more.
    """
    strategy = tf.distribute.get_strategy()
    called = keras.callbacks.CallbackList(callbacks, model=model)
    _build(model, train[0])

    @tf.function(reduce_retracing=True)
    def step(part: Any) -> Any:
        return strategy.run(model.train_step, args=(part,))

    @tf.function(reduce_retracing=True)
    def check(part: Any) -> Any:
        return strategy.run(model.test_step, args=(part,))

    called.on_train_begin()
    for epoch in range(first, epochs):
        called.on_epoch_begin(epoch)
        figures = _run(model, step, train, strategy)
        called.on_test_begin()
        checked = _run(model, check, valid, strategy)
        called.on_test_end(checked)
        called.on_epoch_end(epoch, figures | {f"val_{name}": value for name, value in checked.items()})
        if model.stop_training:
            break
    called.on_train_end()


def _build(model: keras.Model, batch: Any) -> None:
    """Make the variables of loss and metrics: within a step it would be too late."""
    inputs, targets = batch
    outputs = model(inputs, training=False)
    model.compute_loss(x=inputs, y=targets, y_pred=outputs)
    model.compute_metrics(inputs, targets, outputs)


def _run(model: keras.Model, step: Any, batches: "Batches", strategy: tf.distribute.Strategy) -> dict[str, float]:
    """One pass over the batches; the metrics of all replicas together."""
    model.reset_metrics()
    for index in range(len(batches)):
        batch = batches[index]

        def part(context: Any, batch: Any = batch) -> Any:
            return share(batch, context.replica_id_in_sync_group, context.num_replicas_in_sync)

        step(strategy.experimental_distribute_values_from_function(part))
    return {name: float(value) for name, value in model.get_metrics_result().items()}


def share(batch: Any, replica: int, replicas: int) -> Any:
    """Every `replicas`-th example from the one numbered `replica` on; at least one, if need be another's."""
    size = len(keras.tree.flatten(batch)[0])
    indices = np.arange(replica, max(size, replicas), replicas) % size
    return keras.tree.map_structure(lambda array: tf.convert_to_tensor(np.asarray(array)[indices]), batch)
