"""The optimizers that a run may use, all under one schedule."""

from typing import TYPE_CHECKING

import keras

if TYPE_CHECKING:
    from training.fitting import FitOptions


def optimizer(options: "FitOptions", steps: int) -> keras.optimizers.Optimizer:
    """The optimizer that was asked for, under a cosine schedule over `steps` steps that begins with a linear warm-up.

    Weight decay is for AdamW and SGD, and spares biases and the scales of normalisations; momentum is for SGD. Where
    weights are averaged, the optimizer keeps the averages: they are part of its state, and of a checkpoint.
    """
    shared = {
        "learning_rate": _schedule(options, steps),
        "global_clipnorm": options.clip_norm,
        "use_ema": options.average > 0,
        "ema_momentum": options.average,
    }
    if options.optimizer == "adamw":
        made = keras.optimizers.AdamW(weight_decay=options.weight_decay, **shared)
    elif options.optimizer == "sgd":
        decay = options.weight_decay or None
        made = keras.optimizers.SGD(momentum=options.momentum, weight_decay=decay, **shared)
    else:
        kind = {"adam": "Adam", "rmsprop": "RMSprop", "nadam": "Nadam"}[options.optimizer]
        return getattr(keras.optimizers, kind)(**shared)
    if options.weight_decay:
        made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return made


def _schedule(options: "FitOptions", steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    warm_up = int(options.warm_up * steps)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=options.learning_rate / 100 if warm_up else options.learning_rate,
        decay_steps=steps - warm_up,
        alpha=0.01,
        warmup_target=options.learning_rate if warm_up else None,
        warmup_steps=warm_up,
    )
