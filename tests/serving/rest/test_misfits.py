"""Refused JSON tensors and documents, in the words of TF Serving's json_tensor.cc."""

import orjson
import pytest

from serving.errors import InvalidInput
from serving.rest import predict_json
from serving.rest.arrays import parse
from serving.signature import Signature, TensorSpec


def refusal(body, **dtypes):
    """What to_inputs says of a body, for inputs of these types and any shape."""
    signature = Signature("s", "", {name: TensorSpec(name, dtype, None) for name, dtype in dtypes.items()}, {})
    with pytest.raises(InvalidInput) as error:
        predict_json.to_inputs(body, signature)
    return error.value.message


@pytest.mark.parametrize(
    ("dtype", "rows", "words"),
    [
        (
            "int32",
            [[1, 2], [3, 4], [5, 6, 7]],
            "2 of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor size: 2",
        ),
        ("int32", [[1, 2], [3, 4], [5, 6, 7]], "Expecting tensor size: 2 but got: 3"),
        ("int32", [[1, 2], [3, 4], [[5, 6]]], "Expecting shape [2] but got: [1,2]"),
        ("int32", [1, [1]], "element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting shape [] but got: [1]"),
        ("int32", [[1, [2]]], "Encountered list at unexpected level: 1 expected < 1"),
        ("int32", [[[1, 2], [3]]], "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
        ("int32", [[[1], 2]], "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
        ("int32", [[1, 2], ["a", "b"]], 'JSON Value: "a" Type: String is not of expected type: int32'),
        ("int32", [1.5], "JSON Value: 1.5 Type: Number is not of expected type: int32"),
        ("int32", [2**31], "Type: Number is not of expected type: int32"),
        ("float32", [True], "JSON Value: true Type: True is not of expected type: float"),
        ("float32", [False], "Type: False is not of expected type: float"),
        ("float32", [None], "Type: Null is not of expected type: float"),
        (
            "float32",
            [1.7976931348623157e308],
            "Cannot convert JSON value: 1.7976931348623157e+308 to float without loss",
        ),
        ("float32", [16777217], "Cannot convert JSON value: 16777217 to float without loss of precision."),
        ("float64", [2**53 + 1], "to double without loss of precision."),
        ("string", [{"b64": 5}], "does not have named input: b64"),
        ("string", [[{"b64": "a", "c": 1}]], "not formatted correctly for base64 data"),
        (
            "string",
            ["a", {"b64": "!"}],
            "element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Unable to base64 decode",
        ),
        ("string", [5], "Type: Number is not of expected type: string"),
    ],
)
def test_rows(dtype, rows, words):
    assert words in refusal({"instances": rows}, x=dtype)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            [{"n": [1], "s": "a"}, {"n": [1, 2], "s": "a"}],
            "element: 1 key: n of 'instances' list. Error: INVALID_ARGUMENT",
        ),
        ([{"n": [1], "s": "a"}, {"n": [1, 2], "s": "a"}], "Expecting tensor size: 1 but got: 2"),
        ([{"n": [[1]], "s": "a"}, {"n": [1], "s": "a"}], "Expecting shape [1,1] but got: [1]"),
        ([{"n": 1, "s": "a"}, [1]], "Expecting object but got list at item 1 of input list"),
        (
            [{"n": 1, "s": "a", "t": 1}],
            "element: 0 key: t of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does",
        ),
        ([{"n": 1}], "Failed to process element: 0 of 'instances' list. JSON object: {n} keys must be equal to: n,s"),
    ],
)
def test_rows_of_several_inputs(rows, words):
    assert words in refusal({"instances": rows}, n="int32", s="string")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([[1, 2], [3]], "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
        ([1, [2]], "Encountered list at unexpected level: 1 expected < 1"),
        ([[1], 2], "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
        ({"x": ["a"]}, 'JSON Value: "a" Type: String is not of expected type: int64'),
    ],
)
def test_columns(value, words):
    message = refusal({"inputs": value}, x="int64")
    assert message.startswith(words)
    assert "input 'x': expected int64" in message


@pytest.mark.parametrize("size", [10, 200_000])
def test_large_tensors_are_refused_in_time_and_shortly(size):
    assert len(refusal({"instances": [[1.0] * size, [1.0] * (size - 1)]}, x="float32")) < 300
    assert len(refusal({"inputs": [1.0] * size + ["x"]}, x="float32")) < 300


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "The document is empty"),
        (b" ", "The document is empty. at offset: 0"),
        (b"instances = [1, 2]", "Invalid value. at offset: 0"),
        (b'{"a":1} x', "The document root must not be followed by other values. at offset: 8"),
        (b"[1, 2", "Missing a comma or ] after an array element."),
        (b'{"a": [1, 2}', "Missing a comma or ] after an array element. at offset: 11"),
        (b"[1,]", "Invalid value."),
        (b'{"a": 1, }', "Missing a name for object member."),
        (b'{"a": 1,', "Missing a name for object member."),
        (b'{"a": 1', "Missing a comma or } after an object member."),
        (b'{"a": [{}, [1]]', "Missing a comma or } after an object member."),
        (b'{"a" 1}', "Missing a colon after a name of object member."),
        (b'{"a', "Missing a closing quotation mark in string."),
        (b'{"a\\"', "Missing a closing quotation mark in string."),
        (b"[1.]", "Miss fraction part in number."),
        (b"[1e]", "Miss exponent part in number."),
        (b'["\\x"]', "Invalid escape character in string."),
        (b"[" * 100_000, "Invalid value."),
    ],
)
def test_documents(body, words):
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(body)
    with pytest.raises(InvalidInput) as error:
        parse(body)
    assert error.value.message.startswith(f"JSON Parse error: {words}")
    assert len(error.value.message) < 300
