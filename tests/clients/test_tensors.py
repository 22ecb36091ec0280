"""Arrays on the wire, compared with the protocol's reference client."""

import ml_dtypes
import numpy as np
import pytest
from tritonclient.grpc import InferInput, service_pb2

from seqserve_client import BadAnswer, InvalidInput
from seqserve_client._tensors import decode, encode, infer_request, outputs_of

ARRAYS = [
    np.array([[True, False], [False, True]]),
    *(np.arange(6, dtype=f"{sign}int{bits}").reshape(2, 3) for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *(np.linspace(-1, 1, 6).astype(f"float{bits}").reshape(3, 2) for bits in (16, 32, 64)),
    np.array([["cat", "dög"], ["", "a b"]], dtype=object),
    np.array([b"\x00\xff", b""], dtype=object),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: str(array.dtype))
def test_encodes_as_the_reference_client_does(array):
    datatype, raw = encode("x", array)
    reference = InferInput("x", list(array.shape), datatype)
    reference.set_data_from_numpy(array)
    assert raw == reference._get_content()


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: str(array.dtype))
def test_decodes_what_it_encodes(array):
    datatype, raw = encode("x", array)
    back = decode("x", datatype, array.shape, raw)
    expected = array if array.dtype != object else np.vectorize(_bytes, otypes=[object])(array)
    np.testing.assert_array_equal(back, expected)
    assert back.dtype == expected.dtype


def _bytes(item):
    return item.encode() if isinstance(item, str) else item


def test_bfloat16_keeps_its_bits():
    array = np.array([1.5, -2.25], dtype=ml_dtypes.bfloat16)
    datatype, raw = encode("x", array)
    assert (datatype, len(raw)) == ("BF16", 4)
    assert decode("x", datatype, [2], raw).tolist() == [1.5, -2.25]


def test_order_and_byte_order_of_the_array_do_not_matter():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert encode("x", np.asfortranarray(array)) == encode("x", array)
    assert encode("x", array.astype(">f4")) == encode("x", array)
    assert encode("x", np.repeat(array, 2, axis=1)[:, ::2]) == encode("x", array)


def test_refuses_what_the_protocol_does_not_have():
    with pytest.raises(InvalidInput, match=r"x: expected an array of bool.* Received: complex128"):
        encode("x", np.array([1j]))
    with pytest.raises(InvalidInput, match=r"x: expected str or bytes.* Received: None"):
        encode("x", np.array([None, "a"], dtype=object))


@pytest.mark.parametrize(
    ("datatype", "shape", "raw"),
    [
        ("FP32", [3], bytes(8)),
        ("FP32", [1], bytes(3)),
        ("WHAT", [1], bytes(4)),
        ("BYTES", [1], b"\x05\x00\x00\x00ab"),
        ("BYTES", [1], b"\x05\x00"),
    ],
)
def test_an_answer_that_does_not_add_up_is_a_bad_answer(datatype, shape, raw):
    with pytest.raises(BadAnswer, match=r"^out: "):
        decode("out", datatype, shape, raw)


def test_a_request_names_everything():
    inputs = {"a": np.zeros((1, 2), np.float32), "b": np.array([b"x"], dtype=object)}
    request = infer_request("m", "3", inputs, ["y"])
    assert (request.model_name, request.model_version) == ("m", "3")
    assert [(t.name, t.datatype, list(t.shape)) for t in request.inputs] == [
        ("a", "FP32", [1, 2]),
        ("b", "BYTES", [1]),
    ]
    assert list(request.raw_input_contents) == [bytes(8), b"\x01\x00\x00\x00x"]
    assert [output.name for output in request.outputs] == ["y"]


def test_reads_typed_contents_too():
    response = service_pb2.ModelInferResponse()
    response.outputs.add(name="y", datatype="FP32", shape=[2, 1]).contents.fp32_contents.extend([1, 2])
    response.outputs.add(name="s", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"cat")
    outputs = outputs_of(response)
    assert outputs["y"].tolist() == [[1], [2]]
    assert outputs["y"].dtype == np.float32
    assert outputs["s"].tolist() == [b"cat"]


def test_raw_contents_must_match_the_outputs():
    response = service_pb2.ModelInferResponse(raw_output_contents=[b""])
    with pytest.raises(BadAnswer, match="expected raw contents for 0 outputs"):
        outputs_of(response)
