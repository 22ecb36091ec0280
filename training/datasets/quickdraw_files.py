"""Reads drawings from sketch-rnn's `.npz` files without running anything that they hold.

The arrays in them are arrays of objects, which numpy stores as pickles, and a pickle may call any function while it
is read: `numpy.load(…, allow_pickle=True)` runs the code of whoever wrote the file. Here the pickle's calls reach
stand-ins that only collect shapes, types and bytes of numbers; any other call ends the reading.
"""

import io
import math
import pickle
import re
import zipfile
from collections.abc import Sequence
from typing import IO, Any

import numpy as np

_NUMBER = re.compile(r"[<>=|]?([iuf])([1248])")


class NoNumbersError(ValueError):
    """An array holds something else than numbers."""


def read_arrays(file: IO[bytes], names: Sequence[str]) -> dict[str, list[np.ndarray]]:
    """The arrays of numbers in each named array of objects of an `.npz` file.

    Raises:
        KeyError: an array is not in the file; its name.
        ValueError: the file is no `.npz` file, or holds anything but arrays of numbers.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            there = set(archive.namelist())
            missing = [name for name in names if f"{name}.npy" not in there]
            if missing:
                raise KeyError(missing[0])
            return {name: _items(io.BytesIO(archive.read(f"{name}.npy"))) for name in names}
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise ValueError(f"another kind of file ({error})") from error


def _items(member: io.BytesIO) -> list[np.ndarray]:
    version = np.lib.format.read_magic(member)
    if version[0] > 2:
        raise ValueError(f"an array of format {version}")
    read_header = np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(member)
    if not dtype.hasobject:  # drawings of one length, which numpy makes one array of
        member.seek(0)
        return list(np.lib.format.read_array(member, allow_pickle=False))
    try:
        outer = _Unpickler(member, encoding="latin1").load()
        return [item.numbers() for item in outer.objects(math.prod(shape))]
    except ValueError:
        raise
    except Exception as error:  # a broken pickle fails in any of many ways
        raise ValueError(f"a broken array, {type(error).__name__}: {error}") from error


class _DType:
    """Stands in for numpy.dtype: a code such as "i2" and, set later, the order of bytes."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code, self.order = str(code), ""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = str(state[1])

    def numpy(self) -> np.dtype[Any]:
        match = _NUMBER.fullmatch(self.code)
        if not match or self.order not in ("", "<", ">", "=", "|"):
            raise NoNumbersError(f"an array of {self.code!r}")
        return np.dtype(self.order.replace("|", "") + "".join(match.groups()))


class _Array:
    """Stands in for numpy.ndarray: keeps what the pickle says of it until somebody asks."""

    state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state[-4:]  # shape, dtype, whether in Fortran's order, content

    def numbers(self) -> np.ndarray:
        shape, dtype, fortran, content = self.state
        raw = content.encode("latin1") if isinstance(content, str) else content
        return np.frombuffer(raw, dtype.numpy()).reshape(shape, order="F" if fortran else "C")

    def objects(self, count: int) -> list["_Array"]:
        _, _, _, content = self.state
        others = [type(item).__name__ for item in content if not isinstance(item, _Array)]
        if not isinstance(content, list) or others or len(content) != count:
            raise ValueError(f"{len(content)} objects, among them {others[:3]}, for {count} arrays of numbers")
        return content


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _frombuffer(content: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    made = _Array()
    made.state = (shape, dtype, order == "F", bytes(content))
    return made


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError(f"text encoded as {encoding}")
    return text.encode("latin1")


_STAND_INS = {
    ("numpy", "dtype"): _DType,
    ("numpy", "ndarray"): _Array,
    ("_codecs", "encode"): _encode,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise ValueError(f"a call of {module}.{name}, which no array of numbers needs and which was not made")
        return _STAND_INS[module, name]
