import pytest
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import input_pb2

from serving.errors import InvalidInput
from serving.tfserving.examples import serialized_examples


def _fill(example, **values):
    for key, value in values.items():
        example.features.feature[key].float_list.value.append(value)


def _values(row):
    features = example_pb2.Example.FromString(row).features.feature
    return {key: list(feature.float_list.value) for key, feature in features.items()}


def test_examples_come_out_serialised_one_a_row():
    message = input_pb2.Input()
    _fill(message.example_list.examples.add(), x=1.0)
    _fill(message.example_list.examples.add(), x=2.0)
    rows = serialized_examples(message)
    assert rows.shape == (2,)
    assert rows.dtype == object
    assert [_values(row) for row in rows] == [{"x": [1.0]}, {"x": [2.0]}]


def test_a_context_is_part_of_every_example_and_an_example_overrides_it():
    message = input_pb2.Input()
    _fill(message.example_list_with_context.context, x=1.0, shared=7.0)
    _fill(message.example_list_with_context.examples.add(), x=2.0)
    _fill(message.example_list_with_context.examples.add(), y=3.0)
    rows = serialized_examples(message)
    assert [_values(row) for row in rows] == [{"x": [2.0], "shared": [7.0]}, {"x": [1.0], "shared": [7.0], "y": [3.0]}]


@pytest.mark.parametrize("kind", [None, "example_list", "example_list_with_context"])
def test_no_examples_are_refused(kind):
    message = input_pb2.Input()
    if kind is not None:
        getattr(message, kind).SetInParent()
    with pytest.raises(InvalidInput, match="Input is empty"):
        serialized_examples(message)
