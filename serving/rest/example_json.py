"""TF Serving's classify and regress bodies: tf.Examples written as JSON objects.

A feature is one value or a list of them, all of one kind: strings and {"b64": …} make bytes, whole numbers and booleans
int64, numbers with a point or an exponent float (its util/json_tensor.cc).
"""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.errors import InvalidInput
from serving.quoting import shown
from serving.rest.arrays import is_base64, json_type, quote, to_bytes
from serving.tfserving.examples import serialized_examples

_CONTEXT = "context"
_EXAMPLES = "examples"
_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}
_MOST_FLOAT = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]


def to_examples(body: Mapping[str, Any]) -> np.ndarray:
    """The examples of a body, serialised, an object array with one element for each; raises InvalidInput."""
    # This module is imported before TensorFlow is, whose messages these are.
    from tensorflow_serving.apis import input_pb2

    message = input_pb2.Input()
    context = message.example_list_with_context.context
    if _CONTEXT in body:
        _fill(context, body[_CONTEXT])
    if _EXAMPLES not in body:
        # Of regress as well: the words are TF Serving's.
        raise InvalidInput(f"When method is classify, key '{_EXAMPLES}' is expected and was not found")
    examples = body[_EXAMPLES]
    if not isinstance(examples, list):
        raise InvalidInput(f"Expecting '{_EXAMPLES}' value to be an list/array; received: JSON {json_type(examples)}")
    if not examples:
        raise InvalidInput(f"'{_EXAMPLES}' value is an empty array")
    listed: Any = message.example_list_with_context if _CONTEXT in body else message.example_list
    for example in examples:
        _fill(listed.examples.add(), example)
    return serialized_examples(message)


def _fill(example: Any, features: Any) -> None:
    if not isinstance(features, dict):
        raise InvalidInput(f"Example must be JSON object but got JSON {json_type(features)}")
    for name, content in features.items():
        feature = example.features.feature[_utf8(name)]
        for value in content if isinstance(content, list) else [content]:
            kind, converted = _value(name, value)
            if feature.WhichOneof("kind") not in (None, kind):
                expected = _KINDS[feature.WhichOneof("kind")]
                raise InvalidInput(
                    f"Unexpected element type in feature: {shown(name)} expecting type: {expected}, "
                    f"received: {quote(value)}"
                )
            getattr(feature, kind).value.append(converted)


def _value(name: str, value: Any) -> tuple[str, Any]:
    """The kind of feature that a JSON value makes, and what goes into its list."""
    if isinstance(value, str) or is_base64(value):
        return "bytes_list", to_bytes(value)
    if isinstance(value, int):  # true and false are, too
        if not -(2**63) <= value < 2**63:
            raise InvalidInput(f"Feature: {shown(name)} has uint64 element. Only int64 is supported.")
        return "int64_list", int(value)
    if isinstance(value, float):
        if abs(value) > _MOST_FLOAT and value not in (np.inf, -np.inf):
            raise InvalidInput(f"Cannot convert JSON value: {value} to float without loss of precision.")
        return "float_list", value
    raise InvalidInput(f"Feature: {shown(name)} has element with unexpected JSON type: {json_type(value)}")


def _utf8(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"expected the names of features in Unicode, got {quote(name)}") from None
    return name
