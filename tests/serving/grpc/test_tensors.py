"""TensorProto to numpy and back, with TensorFlow's own functions as the oracle."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto

from serving.errors import InvalidInput
from serving.grpc.tensors import decode_inputs, encode

LIMIT = 1000


def decode(tensor: TensorProto) -> np.ndarray:
    return decode_inputs({"x": tensor}, LIMIT)["x"]


def tensor(dtype: int, shape: list[int], **fields) -> TensorProto:
    message = TensorProto(dtype=dtype, **fields)
    for size in shape:
        message.tensor_shape.dim.add(size=size)
    return message


def test_reads_what_tensorflow_writes(sample):
    _, array = sample
    decoded = decode(tf.make_tensor_proto(array))
    assert decoded.dtype == array.dtype
    np.testing.assert_array_equal(decoded, array)


def test_writes_what_tensorflow_reads(sample):
    _, array = sample
    message = TensorProto()
    encode("x", array, message)
    assert not message.tensor_content
    np.testing.assert_array_equal(tf.make_ndarray(message), array)


def test_writes_numbers_as_content_where_that_is_asked_for_and_strings_as_ever(sample):
    _, array = sample
    message = TensorProto()
    encode("x", array, message, as_content=True)
    assert bool(message.tensor_content) == (array.dtype != object)
    np.testing.assert_array_equal(tf.make_ndarray(message), array)


def test_reads_what_it_writes(sample):
    _, array = sample
    message = TensorProto()
    encode("x", array, message)
    decoded = decode(message)
    assert decoded.dtype == array.dtype
    np.testing.assert_array_equal(decoded, array)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_numbers_travel_in_pairs(dtype):
    array = np.array([[1 + 2j, -0.5j]], dtype)
    message = TensorProto()
    encode("x", array, message)
    np.testing.assert_array_equal(tf.make_ndarray(message), array)
    np.testing.assert_array_equal(decode(message), array)
    with pytest.raises(InvalidInput, match="real and imaginary parts, got 3"):
        decode(tensor(8, [1], scomplex_val=[1, 2, 3]))


def test_content_is_not_copied():
    message = tf.make_tensor_proto(np.arange(1000, dtype=np.float32))
    assert not decode(message).flags.owndata


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 0, 5)])
def test_scalars_and_empty_tensors(shape):
    message = tf.make_tensor_proto(np.ones(shape, np.float32))
    assert decode(message).shape == shape
    written = TensorProto()
    encode("x", np.ones(shape, np.float32), written)
    assert tf.make_ndarray(written).shape == shape


def test_non_contiguous_arrays_are_written_in_order():
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    message = TensorProto()
    encode("x", array, message)
    np.testing.assert_array_equal(tf.make_ndarray(message), array)


@pytest.mark.parametrize(
    "message",
    [
        tensor(1, [2, 2], float_val=[7]),
        tensor(1, [2, 2], float_val=[1, 2, 3]),
        tensor(3, [3], int_val=[-1, 5]),
        tensor(10, [3], bool_val=[True]),
        tensor(7, [3], string_val=[b"a", b"b"]),
        tensor(19, [2], half_val=[15360]),
        tensor(1, [2, 2]),
        tensor(9, [2]),
    ],
    ids=str,
)
def test_missing_values_repeat_the_last_one_as_tensorflow_does(message):
    np.testing.assert_array_equal(decode(message), tf.make_ndarray(message))


def test_strings_in_tensor_content_are_read_as_tensorflow_reads_them():
    strings = [b"", b"a", b"x" * 300]
    message = tensor(7, [3], tensor_content=b"\x00\x01\xac\x02" + b"".join(strings))
    assert tf.io.parse_tensor(message.SerializeToString(), tf.string).numpy().tolist() == strings
    assert decode(message).tolist() == strings


def test_no_strings_at_all_are_empty_ones():
    assert decode(tensor(7, [2])).tolist() == [b"", b""]


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (tensor(1, [2], float_val=[1, 2, 3]), "expected 2 values for shape [2], got 3 in float_val"),
        (tensor(1, [10**12], float_val=[1]), "would take 4000000000000 bytes, and 1000 are allowed"),
        (tensor(1, [10**12]), "would take 4000000000000 bytes"),
        (tensor(1, [2**62, 2**62, 2**62], float_val=[1]), "got a larger one"),
        (tensor(1, [2**50, 2**50], tensor_content=b"1234"), "expected a shape of at most"),
        (tensor(1, [0, 2**62, 3]), "got a larger one"),
        (tensor(1, [0, 2**50, 2**50]), "expected a shape of at most"),
        (tensor(7, [1], string_val=[b""] * 1000), "expected 1 values for shape [1], got 1000 in string_val"),
        (tensor(1, [-1, 2], float_val=[1, 2]), "expected dimensions of 0 or more, got shape [-1, 2]"),
        (tensor(1, [1] * 33, float_val=[1]), "expected at most 32 dimensions, got 33"),
        (tensor(1, [2], tensor_content=b"123"), "expected 8 bytes of tensor_content for DT_FLOAT [2], got 3"),
        (tensor(1, [2], double_val=[1, 2]), "DT_FLOAT values in float_val, got some in double_val"),
        (tensor(4, [2], int_val=[1, 300]), "expected values that fit uint8, got 300"),
        (tensor(17, [1], int_val=[-1]), "expected values that fit uint16, got -1"),
        (tensor(19, [1], half_val=[70000]), "expected values that fit uint16, got 70000"),
        (tensor(10, [2], tensor_content=b"\x01\x02"), "expected bytes of 0 and 1 for booleans"),
        (tensor(7, [2], tensor_content=b"\x01\x01a"), "expected 4 bytes of tensor_content, got 3"),
        (tensor(7, [1], tensor_content=b"\x01ab"), "expected 2 bytes of tensor_content, got 3"),
        (tensor(7, [1], tensor_content=b"\xff" * 40), "of tensor_content, got 40"),
        (tensor(7, [2**40], tensor_content=b"\x01a"), "expected 1099511627776 strings in tensor_content, got 2 bytes"),
        (tensor(0, [1], float_val=[1]), "got DT_INVALID"),
        (tensor(101, [1], float_val=[1]), "got DT_FLOAT_REF"),
        (tensor(12345, [1], float_val=[1]), "got 12345"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_cannot_be_read_says_why(message, complaint):
    with pytest.raises(InvalidInput) as caught:
        decode(message)
    assert complaint in caught.value.message
    assert caught.value.message.startswith("tensor parsing error: input 'x': expected")


def test_unknown_rank_is_refused():
    message = TensorProto(dtype=1, float_val=[1])
    message.tensor_shape.unknown_rank = True
    with pytest.raises(InvalidInput, match="unknown_rank"):
        decode(message)


def test_the_limit_holds_for_all_inputs_together():
    one = tensor(1, [150], float_val=[1])
    assert decode_inputs({"a": one}, LIMIT)["a"].sum() == 150
    with pytest.raises(InvalidInput, match="and 400 are allowed"):
        decode_inputs({"a": one, "b": one}, LIMIT)


def test_values_sent_in_full_may_take_more_than_the_limit():
    assert decode(tensor(9, [500], int64_val=[1] * 500)).nbytes == 4000
