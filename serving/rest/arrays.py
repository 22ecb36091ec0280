"""JSON to numpy and back.

NaN and Infinity, which JSON has no words for, are written and read as TF Serving does: as bare NaN, Infinity and
-Infinity.
"""

import base64
import binascii
import json
import math
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

import numpy as np
import orjson

from serving.datatypes import BY_NAME, MAX_RANK, is_finite
from serving.errors import InvalidInput
from serving.rest.json_errors import words_for
from serving.signature import TensorSpec

_MAX_QUOTED = 60
# TensorFlow's words for types, where they are not numpy's.
TF_WORDS = {"float16": "half", "float32": "float", "float64": "double"}
_SHORT_FLOATS = (np.dtype(np.float16), np.dtype(np.float32))
_JSON_TYPES = {
    int: "Number",
    float: "Number",
    str: "String",
    list: "Array",
    dict: "Object",
    type(None): "Null",
}
# Looking for the culprit must not take longer than the request would have.
_MAX_SEARCHED = 100_000
# By numpy's kind: what JSON may hold for it. type() tells true from 1, which isinstance() does not.
_TYPES: Mapping[str, frozenset[type]] = {
    "f": frozenset({float, int}),
    "V": frozenset({float, int}),  # bfloat16
    "i": frozenset({int}),
    "u": frozenset({int}),
    "b": frozenset({bool}),
}


def parse(body: bytes) -> Any:
    """The body as JSON; raises InvalidInput."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        reason = f"{words_for(body, error)} ({error}; got {quote(body)})"
    if b"NaN" in body or b"Infinity" in body:
        try:
            return json.loads(body.decode())
        except (ValueError, RecursionError) as error:
            reason = f"{error}; got {quote(body)}"
    raise InvalidInput(f"JSON Parse error: {reason if body else 'The document is empty'}")


def dump(answer: Any, arrays: Iterable[np.ndarray]) -> bytes:
    """An answer built from `arrays`, whole or in rows, as JSON."""
    body = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    # What is not finite becomes a null, which nothing else does, but may stand in a string.
    if b"null" not in body or all(array.dtype.kind not in "fV" or is_finite(array) for array in arrays):
        return body
    return json.dumps(answer, default=_shortest, separators=(",", ":")).encode()


def _shortest(array: Any) -> Any:
    """An array, or one of its scalars, as Python's numbers with no more digits than its type holds."""
    if array.dtype in _SHORT_FLOATS and array.size <= _MAX_SEARCHED:
        array = np.asarray(array).astype(str).astype(np.float64)
    return array.tolist()


def to_array(value: Any, spec: TensorSpec, *, lossless: bool = False) -> np.ndarray:
    """Nested lists as an array of the spec's dtype; its shape is for the engine to check. Raises InvalidInput.

    lossless: whether integers must not lose digits on becoming floats.
    """
    kind = BY_NAME.get(spec.dtype)
    if spec.dtype == "string":
        return _strings(value, spec)
    if kind is None or kind.dtype.kind not in _TYPES:
        raise InvalidInput(f"input {spec.name!r}: expected a type that JSON can carry, got {spec.dtype}")
    try:
        # An overflow of bfloat16 raises no flag; the engine's own check of finite values sees it.
        with np.errstate(over="raise"):
            array = np.array(value, dtype=kind.dtype)
    except (ValueError, TypeError, OverflowError, FloatingPointError, RuntimeError):
        raise _misfit(value, spec) from None
    types = set(map(type, _leaves(value, array.ndim)))
    if array.ndim > MAX_RANK or not types <= _TYPES[kind.dtype.kind]:
        raise _misfit(value, spec)
    if lossless and int in types:
        _check_lossless(value, array, spec)
    return array


def _check_lossless(value: Any, array: np.ndarray, spec: TensorSpec) -> None:
    """Raises InvalidInput where an integer lost digits on becoming a float of `array`, which is made of `value`."""
    if array.dtype.kind != "f" or not (np.abs(array) >= 2.0 ** (np.finfo(array.dtype).nmant + 1)).any():
        return
    for leaf, number in zip(_leaves(value, array.ndim), array.flat, strict=True):
        if type(leaf) is int and int(number) != leaf:
            word = TF_WORDS[spec.dtype]
            raise InvalidInput(
                f"Cannot convert JSON value: {leaf} to {word} without loss of precision (input {spec.name!r})"
            )


def nbytes(arrays: Mapping[str, np.ndarray]) -> int:
    """About how much there is to write; of strings, which lie elsewhere, 8 bytes each."""
    return sum(array.nbytes for array in arrays.values())


def to_jsonable(name: str, array: np.ndarray, *, as_base64: bool = False) -> np.ndarray | list[Any]:
    """An array in a form that `dump` takes: itself where numbers allow, lists for strings.

    Strings that are not UTF-8, and all where `as_base64`, become {"b64": ...} objects.
    """
    kind = array.dtype.kind
    if kind == "O":
        texts = np.empty(array.shape, dtype=object)
        texts.flat[:] = [_text(value, as_base64=as_base64) for value in array.flat]
        nested: list[Any] = texts.tolist()
        return nested
    if kind == "c":
        raise InvalidInput(f"expected outputs of types that JSON can carry, got {name!r} of {array.dtype}")
    if kind == "V":
        array = array.astype(np.float32)
    # orjson takes neither scalars nor strides.
    return np.ascontiguousarray(array) if array.ndim else array[()]


def _text(value: bytes, *, as_base64: bool) -> str | dict[str, str]:
    if not as_base64:
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass
    return {"b64": base64.b64encode(value).decode()}


def _strings(value: Any, spec: TensorSpec) -> np.ndarray:
    try:
        array = np.array(value, dtype=object)
    except (ValueError, RuntimeError):
        raise _misfit(value, spec) from None
    if array.ndim > MAX_RANK:
        raise _misfit(value, spec)
    flat = np.empty(array.size, dtype=object)
    for index, leaf in enumerate(array.flat):
        flat[index] = _bytes(leaf, spec)
    return flat.reshape(array.shape)


def _bytes(leaf: Any, spec: TensorSpec) -> bytes:
    if not isinstance(leaf, str) and not is_base64(leaf):
        raise _misfit(leaf, spec)
    try:
        return to_bytes(leaf)
    except InvalidInput as error:
        raise InvalidInput(f"input {spec.name!r}: {error.message}") from None


def to_bytes(leaf: Any) -> bytes:
    """The bytes that a string, or an object with base64 in it, stands for; raises InvalidInput."""
    try:
        if isinstance(leaf, str):
            return leaf.encode()
        text = "".join(leaf["b64"].split()).rstrip("=")
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except UnicodeEncodeError as error:
        raise InvalidInput(f"expected a string, got {quote(leaf)}: {error.reason}") from None
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(f"expected a string, got {quote(leaf)}: Unable to base64 decode: {error}") from None


def is_base64(leaf: Any) -> bool:
    return isinstance(leaf, dict) and leaf.keys() == {"b64"} and isinstance(leaf["b64"], str)


def _leaves(value: Any, rank: int) -> Iterable[Any]:
    """The scalars of lists nested `rank` deep."""
    leaves: Iterable[Any] = [value]
    for _ in range(rank):
        leaves = chain.from_iterable(leaves)
    return leaves


def _misfit(value: Any, spec: TensorSpec) -> InvalidInput:
    """Says what stands in the way: a value of another type or range, or else lists of unequal length."""
    dtype = BY_NAME[spec.dtype].dtype
    waiting = [value]
    for _ in range(_MAX_SEARCHED):
        if not waiting:
            break
        item = waiting.pop()
        if isinstance(item, list):
            waiting.extend(reversed(item))
        elif not _fits(item, dtype):
            return InvalidInput(f"input {spec.name!r}: expected {spec}, got {quote(item)} in it")
    return InvalidInput(f"input {spec.name!r}: expected {spec}, got lists of unequal lengths or too deep")


def _fits(item: Any, dtype: np.dtype) -> bool:
    if dtype.kind == "O":
        return isinstance(item, str) or is_base64(item)
    if type(item) not in _TYPES[dtype.kind]:
        return False
    if dtype.kind in "iu":
        return bool(np.iinfo(dtype).min <= item <= np.iinfo(dtype).max)
    if dtype.kind != "f" or (type(item) is float and not math.isfinite(item)):
        return True
    return bool(abs(item) <= float(np.finfo(dtype).max))


def json_type(value: Any) -> str:
    """What JSON calls the type of a value, with TF Serving's distinction of true and false."""
    return str(value) if isinstance(value, bool) else _JSON_TYPES[type(value)]


def quote(value: Any) -> str:
    """What came, in JSON's words and short enough to show."""
    if isinstance(value, bytes):
        return value[:_MAX_QUOTED].decode(errors="replace") or "nothing"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list" if value else "[]"
    if isinstance(value, str):
        return json.dumps(value[:_MAX_QUOTED])
    return json.dumps(value)[:_MAX_QUOTED]
