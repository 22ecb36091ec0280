"""Recurrent layers by name, with truncated backpropagation through time for long inputs."""

from typing import Any

import keras
from keras import layers, ops

CELLS = ("lstm", "gru")


def recurrent(cell: str, units: int, *, bptt: int = 0, **options: Any) -> layers.RNN:
    """An LSTM or a GRU of so many units; with `bptt`, gradients flow back through that many steps at most.

    With `bptt` the sequence is cut into chunks of so many steps: each begins with the state that the one before ended
    in, of which the gradient is stopped. Answers are those of the plain layer, with the same weights in the same order,
    and so are gradients where `bptt` is no less than the length. Steps that a mask leaves out are not counted, and the
    gradient of an initial state that is passed in is not stopped. Works inside `layers.Bidirectional`, with any length.

    `options` are those of `layers.LSTM` and `layers.GRU`: `return_sequences`, `dropout`, `recurrent_dropout`, `name`
    and so on; `use_cudnn=False` where what is exported must run without a GPU.

    After Williams and Peng, "An Efficient Gradient-Based Algorithm for On-Line Training of Recurrent Network
    Trajectories" (1990). Raises ValueError for an unknown cell.
    """
    if cell not in CELLS:
        raise ValueError(f"Expected a cell among {', '.join(CELLS)}. Received: {cell!r}")
    if not bptt:
        return {"lstm": layers.LSTM, "gru": layers.GRU}[cell](units, **options)
    outer = {name: options.pop(name) for name in _OF_THE_LAYER if name in options}
    options.pop("use_cudnn", None)  # its kernels know no truncation
    kind = {"lstm": TruncatedLSTMCell, "gru": TruncatedGRUCell}[cell]
    return TruncatedRNN(kind(units, steps=bptt, **options), **outer)


_OF_THE_LAYER = (
    "return_sequences",
    "return_state",
    "go_backwards",
    "stateful",
    "unroll",
    "zero_output_for_mask",
    "name",
)


class _Truncated:
    """A cell with one more state, the number of steps so far, that stops the gradient of the others now and then."""

    def __init__(self, units: int, *, steps: int, **options: Any) -> None:
        super().__init__(units, **options)
        if steps < 1:
            raise ValueError(f"Expected at least one step between stops of the gradient. Received: {steps}")
        self.steps = steps

    def call(self, inputs: Any, states: Any, training: bool = False) -> tuple[Any, list[Any]]:
        *own, done = states
        stop = ops.logical_and(done > 0, ops.equal(ops.mod(done, self.steps), 0))
        own = [ops.where(stop, ops.stop_gradient(state), state) for state in own]
        output, new = super().call(inputs, own, training=training)
        return output, [*new, done + 1]

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"steps": self.steps}


@keras.saving.register_keras_serializable("seqserve")
class TruncatedLSTMCell(_Truncated, layers.LSTMCell):
    """An LSTM cell whose gradient stops every so many steps."""


@keras.saving.register_keras_serializable("seqserve")
class TruncatedGRUCell(_Truncated, layers.GRUCell):
    """A GRU cell whose gradient stops every so many steps."""


@keras.saving.register_keras_serializable("seqserve")
class TruncatedRNN(layers.RNN):
    """Runs a truncated cell, and keeps the count of steps to itself: its states are those of the plain layer."""

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        done = ops.zeros((ops.shape(sequences)[0], 1), dtype="int32")
        states = [*initial_state, done]
        last, outputs, states = super().inner_loop(sequences, states, mask, training=training)
        return last, outputs, states[:-1]
