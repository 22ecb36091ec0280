"""tf.Examples as Classify, Regress and MultiInference carry them, made into what a parsing graph takes."""

from typing import Any

import numpy as np

from serving.errors import InvalidInput

# The one input of a classify or regress signature, by TF Serving's convention.
EXAMPLES_INPUT = "inputs"


def serialized_examples(message: Any) -> np.ndarray:
    """The examples of a tensorflow.serving.Input, each serialised, with its context where there is one.

    Returns an object array of bytes [examples]; raises InvalidInput where there is no example. Bytes of two messages
    one after the other are the bytes of both merged, and the later wins: an example overrides its context.
    """
    context = b""
    listed = message.example_list
    if message.WhichOneof("kind") == "example_list_with_context":
        listed = message.example_list_with_context
        context = listed.context.SerializeToString()
    if not listed.examples:
        raise InvalidInput("Input is empty.")
    rows = np.empty(len(listed.examples), object)
    rows[:] = [context + example.SerializeToString() for example in listed.examples]
    return rows
