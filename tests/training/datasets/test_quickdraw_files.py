import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.datasets.drawings import read_file
from training.datasets.quickdraw_files import NoNumbersError, read_arrays

from .quickdraw_folder import objects

DRAWINGS = [np.array([[5, 0, 0], [5, -300, 1]], "int16"), np.array([[1, 2, 1]], "int16")]
KINDS = {
    "int16": DRAWINGS,
    "big-endian": [drawing.astype(">i4") for drawing in DRAWINGS],
    "in Fortran's order": [np.asfortranarray(drawing, "f4") for drawing in DRAWINGS],
    "part of another": [np.arange(30, dtype="int16").reshape(5, 6)[::2, ::2]],
}


def archive(content: bytes, count: int) -> io.BytesIO:
    """An `.npz` file whose only array is of so many objects, pickled as given."""
    member, whole = io.BytesIO(), io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(member, header)
    with zipfile.ZipFile(whole, "w") as file:
        file.writestr("train.npy", member.getvalue() + content)
    return whole


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_drawings_of_every_protocol_and_kind_of_numbers_are_read(protocol: int, kind: str) -> None:
    drawings = KINDS[kind]
    content = pickle.dumps(objects(drawings), protocol)
    read = read_arrays(archive(content, len(drawings)), ["train"])["train"]
    for array, expected in zip(read, drawings, strict=True):
        np.testing.assert_array_equal(array, expected)


def test_the_names_and_texts_of_older_pickles_are_read() -> None:
    content = pickle.dumps(objects(DRAWINGS), 2)
    older = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert older != content
    read = read_arrays(archive(older, 2), ["train"])["train"]
    np.testing.assert_array_equal(read[0], DRAWINGS[0])


def test_drawings_of_one_length_are_read() -> None:
    file = io.BytesIO()
    np.savez(file, train=np.stack([DRAWINGS[0]] * 3))
    assert [drawing.shape for drawing in read_arrays(file, ["train"])["train"]] == [(2, 3)] * 3


class Call:
    """Calls a function as it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("call", [os.mkdir, eval, np.fromfile, print], ids=lambda call: call.__name__)
def test_a_call_in_a_pickle_is_not_made(call: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = pickle.dumps(objects([Call(call, str(tmp_path / "made"))]))
    with pytest.raises(ValueError, match="which was not made"):
        read_arrays(archive(content, 1), ["train"])
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().out == ""


def test_objects_disguised_as_numbers_are_refused() -> None:
    """An array of pointers whose content is bytes would let a file say where to point to."""
    state = (1, (1,), np.dtype("O"), False, b"\x01" * 8)
    content = pickle.dumps(objects([Disguised(state)]))
    with pytest.raises(NoNumbersError, match="'O8'"):
        read_arrays(archive(content, 1), ["train"])


class Disguised:
    def __init__(self, state: Any) -> None:
        self.state = state

    def __reduce__(self) -> Any:
        return (*np.zeros(1).__reduce__()[:2], self.state)


BROKEN = {
    "cut short": pickle.dumps(objects(DRAWINGS))[:-20],
    "no array": pickle.dumps([1, 2]),
    "words": pickle.dumps(objects(["a", "b"])),
    "too few": pickle.dumps(objects(DRAWINGS[:1])),
    "nothing": b"",
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_drawings_is_refused_by_name(case: str, tmp_path: Path) -> None:
    (tmp_path / "cat.npz").write_bytes(archive(BROKEN[case], 2).getvalue())
    with pytest.raises(ValueError, match=r"Expected .*cat\.npz to be an \.npz file of drawings"):
        read_file(tmp_path / "cat.npz", ["train"])
