"""Large requests are read without copying their tensors, and mean what protobuf says they mean."""

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.apis import predict_pb2
from tritonclient.grpc import service_pb2

from serving.grpc.large_messages import LARGE_BYTES, parse_infer, parse_predict
from serving.grpc.tensors import decode_inputs

LARGE = np.arange(LARGE_BYTES, dtype=np.uint8).reshape(1, -1)
SMALL = np.array([[1.5, 2.5]], np.float32)


def predict(**arrays) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "model"
    request.model_spec.version.value = 3
    request.output_filter.append("out")
    for name, array in arrays.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        if array.dtype == np.uint8:
            request.inputs[name].tensor_content = array.tobytes()
    return request


def arrays_of(payload) -> dict[str, np.ndarray]:
    parsed = parse_predict(predict_pb2.PredictRequest, memoryview(payload))
    return decode_inputs(parsed.message.inputs, 0, parsed.contents)


def test_large_contents_stay_where_they_are():
    payload = bytearray(predict(frames=LARGE, other=SMALL, more=LARGE).SerializeToString())
    parsed = parse_predict(predict_pb2.PredictRequest, memoryview(payload))
    assert parsed.message.model_spec.version.value == 3
    assert list(parsed.message.output_filter) == ["out"]
    assert parsed.message.ByteSize() < 200
    arrays = decode_inputs(parsed.message.inputs, 0, parsed.contents)
    assert arrays.keys() == {"frames", "other", "more"}
    np.testing.assert_array_equal(arrays["frames"], LARGE)
    np.testing.assert_array_equal(arrays["other"], SMALL)
    assert np.shares_memory(arrays["frames"], np.frombuffer(payload, np.uint8))


def test_raw_contents_stay_where_they_are():
    request = service_pb2.ModelInferRequest(model_name="model", raw_input_contents=[LARGE.tobytes(), b"small"])
    request.inputs.add(name="frames", datatype="UINT8", shape=LARGE.shape)
    payload = bytearray(request.SerializeToString())
    parsed = parse_infer(service_pb2.ModelInferRequest, memoryview(payload))
    assert [bytes(raw) for raw in parsed.raw] == [LARGE.tobytes(), b"small"]
    assert parsed.message.inputs == request.inputs
    assert not parsed.message.raw_input_contents
    assert np.shares_memory(np.frombuffer(parsed.raw[0], np.uint8), np.frombuffer(payload, np.uint8))


def test_small_messages_are_left_to_the_parser():
    request = predict(x=SMALL)
    assert parse_predict(predict_pb2.PredictRequest, request.SerializeToString()).message == request


def test_what_comes_twice_means_what_the_parser_says():
    """Two entries of one name, and two contents in one tensor: protobuf takes the last of each."""
    first, second = predict(x=LARGE), predict(x=LARGE[:, ::-1])
    payload = first.SerializeToString() + second.SerializeToString()
    np.testing.assert_array_equal(arrays_of(payload)["x"], LARGE[:, ::-1])
    tensor = first.inputs["x"].SerializeToString() + second.inputs["x"].SerializeToString()
    merged = predict()
    merged.inputs["x"].MergeFromString(tensor)
    whole = b"\x0a\x01x\x12" + _varint(len(tensor)) + tensor
    payload = predict().SerializeToString() + b"\x12" + _varint(len(whole)) + whole
    expected = predict_pb2.PredictRequest.FromString(payload).inputs["x"].tensor_content
    assert arrays_of_content(payload) == expected


def arrays_of_content(payload) -> bytes:
    parsed = parse_predict(predict_pb2.PredictRequest, payload)
    return bytes(parsed.contents.get("x", parsed.message.inputs["x"].tensor_content))


def _varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes((number % 128 + 128,)), number // 128
    return out + bytes((number,))


@pytest.mark.parametrize("parse", [parse_predict, parse_infer])
def test_large_rubbish_does_not_parse(parse):
    kind = predict_pb2.PredictRequest if parse is parse_predict else service_pb2.ModelInferRequest
    for rubbish in (b"\xff" * LARGE_BYTES, b"\x12\xff\xff\x7f" * LARGE_BYTES, b"\x0b" * LARGE_BYTES):
        with pytest.raises(DecodeError):
            parse(kind, rubbish)


@given(st.integers(0, LARGE_BYTES + 300), st.binary(max_size=4))
def test_a_damaged_message_is_read_as_the_parser_reads_it(at, damage):
    payload = bytearray(predict(frames=LARGE, other=SMALL).SerializeToString())
    at = min(at, len(payload))
    payload[at : at + len(damage)] = damage
    try:
        expected = predict_pb2.PredictRequest.FromString(bytes(payload))
    except DecodeError:
        with pytest.raises(DecodeError):
            parse_predict(predict_pb2.PredictRequest, payload)
        return
    parsed = parse_predict(predict_pb2.PredictRequest, payload)
    for name, content in parsed.contents.items():
        parsed.message.inputs[name].tensor_content = bytes(content)
    assert parsed.message == expected


def test_many_fields_are_left_to_the_parser():
    request = predict(word=np.array([[b"x"] * 40_000], dtype=object))
    parsed = parse_predict(predict_pb2.PredictRequest, request.SerializeToString())
    assert not parsed.contents
    assert parsed.message == request


def test_large_strings_are_left_to_the_parser():
    strings = service_pb2.ModelInferRequest(model_name="model", raw_input_contents=[b"\0" * LARGE_BYTES])
    strings.inputs.add(name="word", datatype="BYTES", shape=[LARGE_BYTES // 4])
    parsed = parse_infer(service_pb2.ModelInferRequest, strings.SerializeToString())
    assert not parsed.raw
    assert parsed.message == strings
